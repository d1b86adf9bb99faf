"""Real tokens per second that the GRU autoencoder trains on, compared with plain padding.

The plain way is the same network and optimizer on random batches, each padded to its longest
sequence, with the logits of all positions at once; losses at padding are ignored, as usual. Both
use the paper's sizes (three layers of 512, batches of 256, vocabularies of 5,000) and the
same clients, whose lengths are log-normal with a mean of 25, cut at 128. Then both learn a small
chain with the same number of updates.

    python -m benchmarks.gru_training                      # about three minutes on two cores
    python -m benchmarks.gru_training --picture FILE.png   # also draws the two curves
    python -m benchmarks.gru_training --small              # seconds, as a smoke test

Where other work shares the cores, set OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait
for a descheduled one can make either figure many times smaller.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.arguments import smoke_parser
from benchmarks.equal_updates import Chain, curve, lengths, near, picture, random
from benchmarks.machine import report
from ubp_platform.blocks.gru_ae import GRUAutoencoderNetwork
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.sequence_learner import training_step
from ubp_platform.blocks.torch_learner import Optimizers
from ubp_platform.warehouse.sequences import Sequences, Vocabulary

PLAIN, OURS = "padded to the longest", "nearly equal lengths"
VALUES = {"week": 20, "event_type": 5, "category": 1500, "price": 100, "sku": 5000, "url": 5000}


def clients(count: int, rng: np.random.Generator) -> Sequences:
    """Make clients with log-normal lengths (mean 25, in [1, 128]) and random tokens."""
    offsets = np.append(0, lengths(count, 25, 128, rng).cumsum())
    fields = {
        field: rng.integers(Vocabulary.FIRST, Vocabulary.FIRST + size, offsets[-1])
        for field, size in VALUES.items()
    }
    return Sequences(np.arange(count), offsets, fields)


def padded_step(network: GRUAutoencoderNetwork, batch: Batch, optimizers: Optimizers) -> None:
    """Train on a batch the plain way: logits at every position, including padding."""
    steps, count = batch.inputs.shape[1:]
    targets = torch.full((len(batch.targets), steps * count), -100)
    targets[:, batch.real] = batch.targets
    network.train()
    optimizers.zero_grad()
    events = network.embed(batch)
    hidden = network.decode(events, network.encode(events, batch.last)).flatten(0, 1)
    heads = zip(network.heads.values(), targets, strict=True)
    loss = sum(F.cross_entropy(head(hidden), target) for head, target in heads)
    loss.backward()
    optimizers.step()


def tokens_a_second(
    step: Callable[..., object], warm_up: Batch, batches: Iterable[Batch], hidden: int
) -> float:
    """Time training steps, including the gathering of their batches."""
    torch.manual_seed(0)
    sizes = {field: Vocabulary.FIRST + size for field, size in VALUES.items()}
    network = GRUAutoencoderNetwork(sizes, hidden, 3, 0.1)
    optimizers = Optimizers(network, steps=100)
    step(network, warm_up, optimizers)
    start = time.perf_counter()
    positions = 0
    for batch in batches:
        step(network, batch, optimizers)
        positions += batch.positions
    return positions / (time.perf_counter() - start)


def speeds(hidden: int, size: int, ours: int, plain: int) -> dict[str, float]:
    """Measure both ways; several plain batches, because their longest client varies by chance."""
    rng = np.random.default_rng(0)
    batches = Batches(clients(size * ours, rng), size, torch.device("cpu"))
    everyone = np.arange(size * ours)
    mixed = rng.permutation(everyone).reshape(-1, size)[:plain]
    warm_up = batches.gather(everyone[:8])
    padded = (batches.gather(part) for part in mixed)
    return {
        PLAIN: tokens_a_second(padded_step, warm_up, padded, hidden),
        OURS: tokens_a_second(training_step, warm_up, batches.shuffled(everyone, rng), hidden),
    }


def learned(chain: Chain, updates: list[int]) -> dict[str, list[float]]:
    """Train both ways on a chain; return the losses of held-out clients after each update count."""
    size = 32
    batches = Batches(chain.sequences, size, torch.device("cpu"))
    everyone = np.arange(len(batches.lengths))
    mean = batches.positions(everyone) / len(everyone) * size
    curves = {}
    for name, draw in ((PLAIN, random), (OURS, near)):
        torch.manual_seed(0)
        network = GRUAutoencoderNetwork({"url": Vocabulary.FIRST + chain.values}, 64, 1, 0.0)
        optimizers = Optimizers(network, updates[-1], learning_rate=4e-3)

        def step(batch: Batch, name=name, network=network, optimizers=optimizers) -> None:
            if name == OURS:
                training_step(network, batch, optimizers, mean)
            else:
                padded_step(network, batch, optimizers)

        curves[name] = curve(network, step, batches, draw, updates)
    return curves


def main() -> None:
    parser = smoke_parser(__doc__)
    parser.add_argument("--picture", type=Path, help="where to draw the curves (PNG)")
    options = parser.parse_args()
    small = options.small
    hidden, size, ours, plain = 512, 256, 10, 2
    chain, updates = Chain(4000, 200, mean=12, longest=64), list(range(0, 401, 40))
    if small:
        torch.set_num_threads(1)  # at this size a second thread only costs time
        hidden, size, ours, plain = 16, 16, 4, 2
        chain, updates = Chain(100, values=50), [0, 2, 4]

    measured = speeds(hidden, size, ours, plain)
    ratio = measured[OURS] / measured[PLAIN]
    curves = learned(chain, updates)
    if options.picture:
        picture(
            options.picture,
            "GRU autoencoder, the loss of held-out clients",
            updates,
            curves,
            {"frequency alone": chain.unigram},
        )
    report(
        "gru_training",
        f"GRU autoencoder, 3 × {hidden}, batches of {size} clients, "
        f"{torch.get_num_threads()} threads.",
        [
            *((f"{name}, real tokens/s", f"{speed:,.0f}") for name, speed in measured.items()),
            ("times as fast", f"{ratio:.1f}"),
            *(
                (f"{name}, loss after {updates[-1]} updates", f"{losses[-1]:.3f}")
                for name, losses in curves.items()
            ),
        ],
        ratio=round(ratio, 2),
        tokens_per_second=round(measured[OURS], 1),
        baseline_tokens_per_second=round(measured[PLAIN], 1),
        loss=round(curves[OURS][-1], 4),
        baseline_loss=round(curves[PLAIN][-1], 4),
        small=small,
    )


if __name__ == "__main__":
    main()
