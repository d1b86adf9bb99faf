"""Events per second that a fitted GRU encodes, compared with plain padding.

The plain way is the same encoder on clients in their order, 256 a batch, each batch padded to its
longest sequence. Both see the paper's sizes (three layers of 512, vocabularies of 5,000) and the
same clients, whose lengths are log-normal with a mean of 25, cut at 128; their vectors agree.

    python -m benchmarks.gru_encode            # about a minute on two cores
    python -m benchmarks.gru_encode --small    # seconds, as a smoke test
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch

from benchmarks.arguments import smoke_parser
from benchmarks.gru_training import VALUES, clients
from benchmarks.machine import report
from ubp_platform.blocks.gru_ae import GRUAutoencoder, GRUAutoencoderNetwork
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.warehouse.sequences import Vocabulary

PLAIN, OURS = "client order, padded to the longest", "by length, not padded"
RUNS = 3


def encoded(
    read: Callable[[Batch], torch.Tensor],
    batches: Iterable[tuple[np.ndarray, Batch]],
    vectors: np.ndarray,
) -> float:
    """Encode the batches' clients in place; return the seconds."""
    start = time.perf_counter()
    with torch.inference_mode():
        for rows, batch in batches:
            vectors[rows] = read(batch).numpy()
    return time.perf_counter() - start


def main() -> None:
    small = smoke_parser(__doc__).parse_args().small
    hidden, size, ours, plain = 512, 256, 32, 2
    if small:
        torch.set_num_threads(1)  # at this size a second thread only costs time
        hidden, size, ours, plain = 32, 32, 4, 4
    torch.manual_seed(0)
    sizes = {field: Vocabulary.FIRST + count for field, count in VALUES.items()}
    network = GRUAutoencoderNetwork(sizes, hidden, 3, 0.1).eval()
    batches = Batches(clients(size * ours, np.random.default_rng(0)), size, torch.device("cpu"))
    everyone = np.arange(size * ours)

    def plain_read(batch: Batch) -> torch.Tensor:
        return network.encode(network.embed(batch), batch.last)

    found = {name: np.zeros((len(everyone), hidden), np.float32) for name in (PLAIN, OURS)}
    some = everyone[: size * plain]
    events = {PLAIN: batches.lengths[some].sum(), OURS: batches.lengths.sum()}
    speeds: dict[str, list[float]] = {PLAIN: [], OURS: []}
    # In turns, so that other load on the machine affects both.
    for _ in range(RUNS):
        in_order = ((part, batches.gather(part)) for part in np.split(some, plain))
        by_length = batches.sorted(everyone, GRUAutoencoder.positions_per_batch)
        for name, read, parts in ((PLAIN, plain_read, in_order), (OURS, network.infer, by_length)):
            speeds[name].append(events[name] / encoded(read, parts, found[name]))
    np.testing.assert_allclose(found[OURS][some], found[PLAIN][some], rtol=1e-5, atol=1e-6)
    middle = {name: float(np.median(runs)) for name, runs in speeds.items()}
    ratios = [ours / plain for plain, ours in zip(*speeds.values(), strict=True)]
    ratio = float(np.median(ratios))
    report(
        "gru_encode",
        f"Vectors of a GRU, 3 × {hidden}, {len(everyone):,} clients, "
        f"{torch.get_num_threads()} threads, the median of {RUNS} runs.",
        [
            *((f"{name}, events/s", f"{speed:,.0f}") for name, speed in middle.items()),
            ("times as fast", f"{ratio:.1f} (from {min(ratios):.1f} to {max(ratios):.1f})"),
        ],
        ratio=round(ratio, 2),
        events_per_second=round(middle[OURS]),
        baseline_events_per_second=round(middle[PLAIN]),
        small=small,
    )


if __name__ == "__main__":
    main()
