"""Computing profiles of a version in memory, of the clients of a history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.home import Home
from ubp_platform.profile.normalizer import Normalizer
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.warehouse.history import History


class ProfileEncoder:
    """Computes profiles of a version in memory; nothing is read but the fits.

    Parameters
    ----------
    home : Home
    version : ProfileVersion
    scratch : Path, optional
        A directory for caches; by default that of the home.

    Attributes
    ----------
    fits : list of FittedBlock
        What it has loaded.
    known : ndarray of bool
        Of the clients who were encoded last: those with an event that one of the version's own
        parts can use.
    """

    known: np.ndarray

    def __init__(self, home: Home, version: ProfileVersion, scratch: Path | None = None) -> None:
        self._version = version
        self.fits: list[FittedBlock] = []
        self._source = ProfileEncoder(home, version.source, scratch) if version.source else None
        if self._source:
            self.fits += self._source.fits
        self._parts: list[tuple[slice, Normalizer, Block]] = []
        for part, normalizer in version.own:
            fitted = Catalog(home).get(part.block, part.version, part.fit)
            self.fits.append(fitted)
            block = fitted.load()
            block.scratch = scratch or home.scratch
            columns = slice(part.start, part.start + part.width)
            self._parts.append((columns, normalizer, block))

    def encode(
        self, history: History, clients: np.ndarray, source: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute the profiles of the clients to which a history is narrowed.

        Parameters
        ----------
        history : History
        clients : ndarray of int64, shape (n_clients,)
            Ascending.
        source : ndarray of float32, optional
            Their profiles of the version that an aligned version maps, if they are known.

        Returns
        -------
        ndarray of float32, shape (n_clients, width)
            In their order; the mean profile of those without a usable event.
        """
        profiles = np.tile(self._version.mean, (len(clients), 1))
        self.known = np.zeros(len(clients), bool)
        if self._source:
            mapped = self._source.encode(history, clients) if source is None else source
            self._version.map(mapped, profiles)
        for columns, normalizer, block in self._parts:
            snapshot = block.encode(history)
            if len(snapshot.client_ids):
                rows = np.searchsorted(clients, snapshot.client_ids)
                self.known[rows] = True
                profiles[rows, columns] = normalizer.transform(snapshot.vectors)
        return profiles


@dataclass(frozen=True)
class Profiles:
    """Profiles of some clients, of one version after the other.

    Parameters
    ----------
    clients : ndarray of int64, shape (n,)
    known : ndarray of bool, shape (n,)
        Who has an event that the first version can use.
    vectors : list of ndarray of float32, shape (n, width)
        Of each version.
    """

    clients: np.ndarray
    known: np.ndarray
    vectors: list[np.ndarray]


def compute_profiles(encoders: Sequence[ProfileEncoder], history: History) -> Iterator[Profiles]:
    """Compute the profiles of a history's clients, a slice at a time.

    Parameters
    ----------
    encoders : sequence of ProfileEncoder
        Of a version, then of aligned versions that map it.
    history : History
    """
    clients, start = history.clients, 0
    for count, narrowed in history.slices():
        some, start = clients[start : start + count], start + count
        vectors = [encoders[0].encode(narrowed, some)]
        vectors += [one.encode(narrowed, some, vectors[0]) for one in encoders[1:]]
        yield Profiles(some, encoders[0].known, vectors)
