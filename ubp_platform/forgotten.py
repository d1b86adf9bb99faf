"""Who has been forgotten: salted hashes of their ids, and a log that names nobody.

``forgotten.json`` of a home outlives its warehouse, so that a delivery that fills a new one does
not bring forgotten clients back. While clients are being forgotten, ``forgetting.json`` names them,
so that a run that was killed can be finished; it is removed at the end.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from ubp_platform import sealed
from ubp_platform.files import discard, write_text
from ubp_platform.home import Home


class Forgetting(BaseModel):
    """One time that clients were forgotten.

    Parameters
    ----------
    id : str
        A random name, by which an entry is written once.
    at : datetime
    clients : int
        Those of whom the home had something.
    since : date, optional
        The day of their first event: histories that end later have lost something.
    fits : dict of str to int
        How many of them each fit may have learned from: ``{"gru_ae_all/v1": 2}``.
    """

    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    at: datetime
    clients: int = 0
    since: date | None = None
    fits: dict[str, int] = {}


class Forgotten(BaseModel):
    """The content of ``forgotten.json``.

    Parameters
    ----------
    salt : str
        Drawn once for each home.
    refused : list of str
        The hashes of the ids whose rows are refused, ascending.
    log : list of Forgetting
        Oldest first.
    """

    salt: str = Field(default_factory=lambda: secrets.token_hex(16))
    refused: list[str] = []
    log: list[Forgetting] = []

    @classmethod
    def read(cls, home: Home) -> "Forgotten":
        """Read it; raise DamagedFile if it is damaged. Where nobody was forgotten, it is new."""
        path = _path(home)
        cure = "restore it from a backup: without it, deliveries bring forgotten clients back"
        return sealed.read_json(path, cls, cure) if path.exists() else cls()

    def write(self, home: Home) -> None:
        """Replace the file."""
        write_text(_path(home), sealed.sealed_json(self))

    def hash(self, client_id: int | str) -> str:
        """Return the salted hash of a shop's id, text in UTF-8."""
        return hashlib.sha256(f"{self.salt}{client_id}".encode()).hexdigest()

    def refuse(self, client_ids: Iterable[str]) -> None:
        """Refuse rows of these clients from now on."""
        self.refused = sorted({*self.refused, *map(self.hash, client_ids)})

    def allow(self, client_ids: Iterable[str]) -> None:
        """Refuse rows of these clients no longer."""
        self.refused = sorted({*self.refused} - {*map(self.hash, client_ids)})

    def is_refused(self, client_ids: np.ndarray) -> np.ndarray:
        """Say of each shop's id whether its rows are refused: bool, shape (n,)."""
        refused = {*self.refused}
        return np.array([self.hash(one) in refused for one in client_ids.tolist()], bool)

    def learned_by(self, fit: str) -> int:
        """Count the forgotten clients that a fit, such as ``gru_ae_all/v1``, may have learned from.

        A client counts who had an event before the fit's cutoff.
        """
        return sum(entry.fits.get(fit, 0) for entry in self.log)

    def since(self, made: datetime | None, cutoff: datetime) -> bool:
        """Whether clients of a history were forgotten after something was made of it.

        Parameters
        ----------
        made : datetime, optional
            Always before the first log entry if it is not known.
        cutoff : datetime
            The end of the history.
        """
        return any(
            entry.since and entry.since <= cutoff.date() and (made is None or entry.at > made)
            for entry in self.log
        )


class Unfinished(BaseModel):
    """The content of ``forgetting.json``: who is being forgotten.

    Parameters
    ----------
    client_ids : list of str
        As the shop writes them.
    entry : Forgetting
        The log's entry, as counted before anything was removed.
    rows : dict of str to int
        What the tables of the warehouse have lost.
    """

    client_ids: list[str]
    entry: Forgetting
    rows: dict[str, int] = {}

    @classmethod
    def read(cls, home: Home) -> "Unfinished | None":
        """Read what a run left that was killed; None if there is nothing."""
        path = _unfinished_path(home)
        cure = f"remove {path}, and forget the same clients again"
        return sealed.read_json(path, cls, cure) if path.exists() else None

    def write(self, home: Home) -> None:
        """Replace the file."""
        write_text(_unfinished_path(home), sealed.sealed_json(self))

    def together(self, others: "Unfinished | None") -> "Unfinished":
        """Return these and those whom a run left that was killed."""
        if others is None:
            return self
        mine, theirs = self.entry, others.entry
        days = [day for day in (mine.since, theirs.since) if day]
        fits = {*mine.fits, *theirs.fits}
        entry = theirs.model_copy(
            update={
                "clients": mine.clients + theirs.clients,
                "since": min(days, default=None),
                "fits": {fit: mine.fits.get(fit, 0) + theirs.fits.get(fit, 0) for fit in fits},
            }
        )
        ids = sorted({*self.client_ids, *others.client_ids})
        return Unfinished(client_ids=ids, entry=entry, rows=others.rows)

    def finish(self, home: Home) -> None:
        """Add the log's entry, and remove the names."""
        forgotten = Forgotten.read(home)
        if self.entry.id not in {entry.id for entry in forgotten.log}:
            forgotten.log.append(self.entry)
            forgotten.write(home)
        discard(_unfinished_path(home))


def _path(home: Home) -> Path:
    return home.root / "forgotten.json"


def _unfinished_path(home: Home) -> Path:
    return home.root / "forgetting.json"
