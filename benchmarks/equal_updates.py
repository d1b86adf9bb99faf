"""Check that two ways of training a network learn equally: same updates, same loss.

The data is a chain: most visits go from each value to one other, the rest to random values, to
frequent ones more often.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.sequence_learner import validation_loss
from ubp_platform.warehouse.sequences import Sequences, Vocabulary

FOLLOWED = 0.75
HELD_OUT = 0.1
# Colours that are distinct for any colour vision (Okabe and Ito).
COLORS = ("#D55E00", "#0072B2")


def lengths(count: int, mean: float, longest: int, rng: np.random.Generator) -> np.ndarray:
    """Draw lengths, log-normal with a deviation of the logarithm of 1, in [1, longest]."""
    drawn = rng.lognormal(np.log(mean) - 0.5, 1.0, count)
    return np.clip(np.rint(drawn), 1, longest).astype(np.int64)


@dataclass
class Chain:
    """Clients whose visits follow a chain of values.

    Parameters
    ----------
    clients, values : int
    mean, longest : float, int
        Of the clients' sequence lengths.
    """

    clients: int
    values: int
    mean: float = 25
    longest: int = 128
    sequences: Sequences = field(init=False)
    #: Entropy of the next value in nats: the lowest possible loss.
    entropy: float = field(init=False)
    #: Loss of a model that only knows the frequencies of the values.
    unigram: float = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        frequency = 1 / np.arange(1, self.values + 1)
        frequency /= frequency.sum()
        follower = rng.permutation(self.values)
        length = lengths(self.clients, self.mean, self.longest, rng)
        walks = rng.choice(self.values, (length.max(), self.clients), p=frequency)
        follows = rng.random(walks.shape) < FOLLOWED
        for step in range(1, len(walks)):
            walks[step] = np.where(follows[step], follower[walks[step - 1]], walks[step])
        chance = (1 - FOLLOWED) * frequency[walks]
        chance[1:] += FOLLOWED * (follower[walks[:-1]] == walks[1:])
        chance[0] = frequency[walks[0]]
        real = np.arange(len(walks))[:, None] < length
        self.entropy = float(-np.log(chance[real]).mean())
        found = np.bincount(walks[real], minlength=self.values)
        share = found[found > 0] / found.sum()
        self.unigram = float(-(share * np.log(share)).sum())
        # Tokens are ranks: the most frequent value first.
        rank = np.empty(self.values, np.int64)
        rank[np.argsort(-found, kind="stable")] = np.arange(self.values)
        tokens = Vocabulary.FIRST + rank[walks.T[real.T]]
        offsets = np.append(0, length.cumsum())
        self.sequences = Sequences(np.arange(self.clients), offsets, {"url": tokens})


def near(batches: Batches, clients: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of nearly equal length, epoch after epoch."""
    while True:
        yield from batches.shuffled(clients, rng)


def random(batches: Batches, clients: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of random clients, epoch after epoch."""
    while True:
        mixed = rng.permutation(clients)
        for start in range(0, len(mixed), batches.batch_size):
            yield batches.gather(mixed[start : start + batches.batch_size])


Draw = Callable[[Batches, np.ndarray, np.random.Generator], Iterator[Batch]]


def curve(
    network: nn.Module,
    step: Callable[[Batch], object],
    batches: Batches,
    draw: Draw,
    updates: Sequence[int],
) -> list[float]:
    """Train, and return the exact loss of held-out clients after each number of updates."""
    rng = np.random.default_rng(1)
    clients = rng.permutation(len(batches.lengths))
    held_out, training = np.split(clients, [int(HELD_OUT * len(clients))])
    drawn, losses, done = draw(batches, training, rng), [], 0
    for update in updates:
        for _ in range(update - done):
            step(next(drawn))
        done = update
        total = validation_loss(network, (batch for _, batch in batches.sorted(held_out)))
        losses.append(total / batches.positions(held_out))
    return losses


def picture(
    path: Path,
    title: str,
    updates: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    bounds: Mapping[str, float],
) -> None:
    """Draw validation losses over updates, with lines for bounds."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for (name, bound), style in zip(bounds.items(), (":", "--"), strict=False):
        ax.axhline(bound, color="0.5", lw=1, ls=style, label=name)
    for (name, losses), color in zip(curves.items(), COLORS, strict=True):
        label = f"{name}: {losses[-1]:.3f}"
        ax.plot(updates, losses, "o-", ms=4, color=color, label=label)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlim(left=0)
    ax.set_xlabel("updates")
    ax.set_ylabel("validation loss, nats per position")
    ax.set_title(title, loc="left", fontsize=10)
    ax.legend(frameon=False)
    figure.savefig(path, dpi=130)
