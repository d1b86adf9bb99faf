"""Real tokens per second that the next-URL transformer trains on, compared with plain training.

The plain way is the same network on random batches of the same size, each padded to its longest
sequence, with the softmax over all URLs at every position and Adam on the full table. Both use
the paper's sizes (6 layers of 192, 4 heads), 50,000 URLs and the same clients, whose lengths are
log-normal with a mean of 25, cut at 256. Batches hold 32 clients: at 256 the plain way's logits
alone take 13 GB. Then both learn a small chain with the same number of updates and are compared by
the exact loss.

    python -m benchmarks.next_url                      # about two minutes on two cores
    python -m benchmarks.next_url --picture FILE.png   # also draws the two curves
    python -m benchmarks.next_url --small              # seconds, as a smoke test
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.arguments import smoke_parser
from benchmarks.equal_updates import Chain, curve, lengths, near, picture, random
from benchmarks.machine import PeakMemory, report
from ubp_platform.blocks.next_url import NextURL, NextURLTransformer
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.sequence_learner import training_step
from ubp_platform.blocks.torch_learner import Optimizers
from ubp_platform.warehouse.sequences import Sequences, Vocabulary

PLAIN, OURS = "padded, full softmax", "nearly equal lengths, sampled softmax"
FIRST = Vocabulary.FIRST


def clients(count: int, longest: int, urls: int) -> Sequences:
    """Make clients with log-normal lengths and URLs by Zipf's law."""
    rng = np.random.default_rng(0)
    length = lengths(count, 25, longest, rng)
    weight = (1 / np.arange(1, urls + 1)).cumsum()
    drawn = np.searchsorted(weight, rng.random(length.sum()) * weight[-1])
    return Sequences(np.arange(count), np.append(0, length.cumsum()), {"url": FIRST + drawn})


def batched(sequences: Sequences, size: int) -> Batches:
    return Batches(sequences, size, torch.device("cpu"), NextURL.end, NextURL.rare)


def learner(
    block: NextURL, batches: Batches, urls: int, updates: int, sparse: bool
) -> tuple[NextURLTransformer, Callable[[Batch], object]]:
    """Make a network and its training step: sampled and sparse, or full and dense."""
    torch.manual_seed(0)
    network = block.network({"url": FIRST + urls})
    if sparse:
        optimizers = Optimizers(network, updates, block.learning_rate, block.table_learning_rate)
        everyone = np.arange(len(batches.lengths))
        mean = batches.positions(everyone) / len(everyone) * batches.batch_size
        return network, lambda batch: training_step(network, batch, optimizers, mean)
    table = network.embeddings["url"]
    table.sparse = False
    rest = [weight for weight in network.parameters() if weight is not table.weight]
    adam = torch.optim.Adam([{"params": rest}, {"params": [table.weight]}], fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam,
        max_lr=[block.learning_rate, block.table_learning_rate or block.learning_rate],
        total_steps=updates + 1,
        pct_start=0.1,
    )
    return network, lambda batch: padded_step(network, batch, adam, schedule)


def padded_step(network: Any, batch: Batch, adam: torch.optim.Adam, schedule: Any) -> None:
    """Train on a batch the plain way: logits of all URLs at every position."""
    steps, count = batch.inputs.shape[1] - 1, len(batch.last)
    targets = torch.full((steps * count,), -100)
    targets[batch.real] = batch.targets[0] - FIRST
    network.train()
    adam.zero_grad()
    x = network.embed(batch.inputs[:, :-1])
    for layer in network.layers:
        x = layer(x)
    hidden = network.norm(x).transpose(0, 1).flatten(0, 1)  # (steps * clients, hidden)
    logits = hidden @ network.embeddings["url"].weight[FIRST:].T
    F.cross_entropy(logits, targets).backward()
    adam.step()
    schedule.step()


def tokens_a_second(step: Callable, batches: Iterable[Batch]) -> float:
    """Time training steps, including the gathering of their batches."""
    start, positions = time.perf_counter(), 0
    for batch in batches:
        step(batch)
        positions += batch.positions
    return positions / (time.perf_counter() - start)


def speeds(block: NextURL, urls: int, ours: int, plain: int) -> dict[str, float]:
    """Measure both ways; several plain batches, because their longest client varies by chance."""
    size, rng = block.batch_size, np.random.default_rng(0)
    batches = batched(clients(size * ours, block.last, urls), size)
    everyone = np.arange(size * ours)
    mixed = rng.permutation(everyone).reshape(-1, size)[:plain]
    given = {PLAIN: (batches.gather(part) for part in mixed), OURS: batches.shuffled(everyone, rng)}
    measured = {}
    for name, drawn in given.items():
        _, step = learner(block, batches, urls, ours + plain, sparse=name == OURS)
        step(batches.gather(everyone[:4]))
        measured[name] = tokens_a_second(step, drawn)
    return measured


def memory(block: NextURL, urls: int) -> float:
    """Measure the memory of three steps, without weights and their moments, in MB."""
    batches = batched(clients(block.batch_size * 3, block.last, urls), block.batch_size)
    _, step = learner(block, batches, urls, 4, sparse=True)
    step(batches.gather(np.arange(4)))
    with PeakMemory() as before:
        time.sleep(0.1)
    with PeakMemory() as during:
        for batch in batches.shuffled(np.arange(block.batch_size * 3), np.random.default_rng(0)):
            step(batch)
    return 1000 * (during.gigabytes - before.gigabytes)


def learned(chain: Chain, block: NextURL, updates: list[int]) -> dict[str, list[float]]:
    """Train both ways on a chain; return the exact losses of held-out clients."""
    batches = batched(chain.sequences, block.batch_size)
    curves = {}
    for name, drawn in ((PLAIN, random), (OURS, near)):
        network, step = learner(block, batches, chain.values, updates[-1], sparse=name == OURS)
        curves[name] = curve(network, step, batches, drawn, updates)
    return curves


def main() -> None:
    parser = smoke_parser(__doc__)
    parser.add_argument("--picture", type=Path, help="where to draw the curves (PNG)")
    options = parser.parse_args()
    small = options.small
    paper = {**NextURL.presets["paper"], "batch_size": 32}
    urls, ours, plain = 50_000, 40, 3
    chain, updates = Chain(4000, values=1000), list(range(0, 401, 40))
    if small:
        torch.set_num_threads(1)  # at this size a second thread only costs time
        paper |= {"hidden": 32, "layers": 2, "batch_size": 16, "negatives": 64}
        urls, ours, plain = 2000, 6, 2
        chain, updates = Chain(200, values=50), [0, 4, 8]
    block = NextURL(**paper)
    learning = NextURL(
        hidden=48, layers=2, heads=2, last=chain.longest, negatives=256, dropout=0.0,
        batch_size=32, learning_rate=2e-3, table_learning_rate=1e-2,
    )  # fmt: skip

    memory(block, urls)  # permanent allocations of the process happen here
    needed = {count: memory(block, count) for count in (urls // 5, urls, urls * 5)}
    measured = speeds(block, urls, ours, plain)
    ratio = measured[OURS] / measured[PLAIN]
    curves = learned(chain, learning, updates)
    if options.picture:
        picture(
            options.picture,
            f"Next URL of {chain.values:,}, the exact loss of held-out clients",
            updates,
            curves,
            {"frequency alone": chain.unigram, "the chain itself": chain.entropy},
        )
    report(
        "next_url",
        f"Next URL, {block.layers} × {block.hidden}, {urls:,} URLs, "
        f"batches of {block.batch_size} clients, {torch.get_num_threads()} threads.",
        [
            *((f"{name}, real tokens/s", f"{speed:,.0f}") for name, speed in measured.items()),
            ("times as fast", f"{ratio:.1f}"),
            *(
                (f"a step with {n:,} URLs, beyond weights", f"{mb:.0f} MB")
                for n, mb in needed.items()
            ),
            *(
                (f"loss after {updates[-1]} updates, {name}", f"{losses[-1]:.3f}")
                for name, losses in curves.items()
            ),
            ("  where frequency alone gives", f"{chain.unigram:.3f}"),
            ("  and the chain itself", f"{chain.entropy:.3f}"),
        ],
        ratio=round(ratio, 2),
        tokens_per_second=round(measured[OURS], 1),
        baseline_tokens_per_second=round(measured[PLAIN], 1),
        megabytes_beyond_weights=[round(mb) for mb in needed.values()],
        loss=round(curves[OURS][-1], 4),
        baseline_loss=round(curves[PLAIN][-1], 4),
        small=small,
    )


if __name__ == "__main__":
    main()
