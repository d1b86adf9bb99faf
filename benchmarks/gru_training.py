"""How many real tokens a second the GRU autoencoder trains on, against plain padding.

The baseline is the same network and optimizer on random batches, each padded to its longest
sequence, with the logits of all positions at once; losses at padding are ignored, as is usual.
Both see the paper's sizes (three layers of 512, batches of 256, vocabularies of 5,000) and the
same clients, whose lengths are log-normal with a mean of 25, cut at 128.

    python benchmarks/gru_training.py            # about three minutes on two cores
    python benchmarks/gru_training.py --small    # seconds, to see that it runs

Where other work shares the cores, set OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait
for a descheduled one can make either figure many times smaller.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from ubp_platform.blocks.gru_ae import Network
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.training import training_step
from ubp_platform.warehouse.history import Sequences, Vocabulary

VALUES = {"week": 20, "event_type": 5, "category": 1500, "price": 100, "sku": 5000, "url": 5000}
MEAN_LENGTH, LONGEST = 25, 128


def clients(count: int, rng: np.random.Generator) -> Sequences:
    """Make clients with log-normal lengths (mean 25, in [1, 128]) and random tokens."""
    spread = 1.0
    drawn = rng.lognormal(np.log(MEAN_LENGTH) - spread**2 / 2, spread, count)
    lengths = np.clip(np.rint(drawn), 1, LONGEST).astype(np.int64)
    offsets = np.append(0, lengths.cumsum())
    fields = {
        field: rng.integers(Vocabulary.FIRST, Vocabulary.FIRST + size, offsets[-1])
        for field, size in VALUES.items()
    }
    return Sequences(np.arange(count), offsets, fields)


def padded_step(network: Network, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """Train on a batch the plain way: logits at every position, padding included."""
    steps, count = batch.inputs.shape[1:]
    targets = torch.full((len(batch.targets), steps * count), -100)
    targets[:, batch.real] = batch.targets
    network.train()
    optimizer.zero_grad()
    events = network.embed(batch)
    said = network.decode(events, network.encode(events, batch.last)).flatten(0, 1)
    heads = zip(network.heads.values(), targets, strict=True)
    loss = sum(F.cross_entropy(head(said), target) for head, target in heads)
    loss.backward()
    optimizer.step()


def tokens_a_second(
    step: Callable[..., object], warm_up: Batch, batches: Iterable[Batch], hidden: int
) -> float:
    """Time training steps, the gathering of their batches included."""
    torch.manual_seed(0)
    sizes = {field: Vocabulary.FIRST + size for field, size in VALUES.items()}
    network = Network(sizes, hidden, 3, 0.1)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    step(network, warm_up, optimizer)
    start = time.perf_counter()
    positions = 0
    for batch in batches:
        step(network, batch, optimizer)
        positions += batch.positions
    return positions / (time.perf_counter() - start)


def processor() -> str:
    """Name the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    small = parser.parse_args().small
    hidden, size, ours, plain = (32, 32, 8, 4) if small else (512, 256, 12, 2)
    if small:
        torch.set_num_threads(1)  # so small that a second thread is only waited for

    rng = np.random.default_rng(0)
    sequences = clients(size * ours, rng)
    everyone = np.arange(len(sequences.client_ids))
    batches = Batches(sequences, size, torch.device("cpu"))
    random = rng.permutation(everyone).reshape(-1, size)[:plain]
    warm_up = batches.gather(everyone[:8])
    speeds = {
        "padded to the longest": tokens_a_second(
            padded_step, warm_up, (batches.gather(part) for part in random), hidden
        ),
        "nearly equal lengths": tokens_a_second(
            training_step, warm_up, batches.shuffled(everyone, rng), hidden
        ),
    }
    ratio = speeds["nearly equal lengths"] / speeds["padded to the longest"]

    hardware = f"{torch.get_num_threads()} threads, {processor()}; torch {torch.__version__}"
    table = Table(
        "batches",
        "real tokens/s",
        "ratio",
        title=f"GRU autoencoder training, 3 × {hidden}, batch {size}",
        caption=hardware,
    )
    for name, speed in speeds.items():
        table.add_row(name, f"{speed:,.0f}", f"{speed / speeds['padded to the longest']:.1f}")
    Console().print(table)
    print(
        json.dumps(
            {
                "benchmark": "gru_training",
                "ratio": round(ratio, 2),
                "tokens_per_second": round(speeds["nearly equal lengths"], 1),
                "baseline_tokens_per_second": round(speeds["padded to the longest"], 1),
                "hardware": hardware,
                "small": small,
            }
        )
    )


if __name__ == "__main__":
    main()
