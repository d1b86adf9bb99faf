"""What similar clients have in common, compared with all clients."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow.compute as pc

from ubp_platform.similar.facts import Client, Facts

# Categories that are told, and clients who must share one.
_TOLD, _FEWEST = 3, 2


@dataclass(frozen=True)
class Shared:
    """Something that some of the clients share.

    Parameters
    ----------
    what : str
    clients : int
        Of those who were compared.
    of_all : float
        The share of all clients of whom it is true.
    """

    what: str
    clients: int
    of_all: float


def in_common(facts: Facts, cutoff: datetime, clients: Sequence[Client]) -> list[Shared]:
    """Say what clients share more often than others do: favourite categories, a recent event.

    Parameters
    ----------
    facts : Facts
        Of all clients.
    cutoff : datetime
        Of these facts.
    clients : sequence of Client
    """
    everybody = max(int(np.count_nonzero(facts.present)), 1)
    counted = Counter(name for client in clients for name in client.categories)
    found = []
    for name, count in counted.most_common():
        of_all = _with_favourite(facts, name) / everybody
        if count >= _FEWEST and count / len(clients) > of_all:
            found.append(Shared(f"category {name} is a favourite", count, of_all))
    return [*found[:_TOLD], *_recency(facts, cutoff, clients, everybody)]


def _with_favourite(facts: Facts, name: str) -> int:
    found = 0
    for codes, words in facts.categories:
        code = pc.index(words, name).as_py()
        found += int(np.count_nonzero(codes == code)) if code >= 0 else 0
    return found


def _recency(
    facts: Facts, cutoff: datetime, clients: Sequence[Client], everybody: int
) -> list[Shared]:
    """Return how recently most of the clients were seen."""
    last = sorted((one.last_event for one in clients if one.last_event), reverse=True)
    if not last:
        return []
    most = last[max(0, round(0.8 * len(last)) - 1)]
    days = max(1, -((most - cutoff) // timedelta(days=1)))
    count = sum(cutoff - one <= timedelta(days=days) for one in last)
    ages = facts.numbers("last_days", cutoff)
    of_all = 0 if ages is None else int(np.count_nonzero(ages <= days)) / everybody
    if count / len(clients) <= of_all:
        return []
    unit = "day" if days == 1 else f"{days:,} days"
    return [Shared(f"an event in the last {unit}", count, of_all)]
