"""``ubp explain``: events decoded from an autoencoder's vector, beside the true events."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ubp_platform.blocks.catalog import FittedBlock
from ubp_platform.blocks.gru_ae import GRUAutoencoder
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import client_keys
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import CODE_VALUES, EVENT_TYPES, ID_COLUMNS, event_codes
from ubp_platform.home import Home
from ubp_platform.profile.encoding import known_then
from ubp_platform.profile.listing import get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.warehouse import Warehouse, key_states
from ubp_platform.warehouse.delivery_times import EVERYTHING
from ubp_platform.warehouse.sequences import Vocabulary


@dataclass(frozen=True)
class Recall:
    """How much of one field was decoded, of the values in the block's vocabulary.

    Parameters
    ----------
    field : str
    values : int
        Events of the client with such a value.
    in_place : float
        Share of them that were decoded at their own position.
    anywhere : float
        Share of them that were decoded at any position, each as often as it occurred.
    guess : float, optional
        ``in_place`` of always guessing the shop's most frequent value. None where the block's
        vocabulary is not ordered by frequency.
    rare : int
        Further events, with a value outside the vocabulary.
    """

    field: str
    values: int
    in_place: float
    anywhere: float
    guess: float | None
    rare: int = 0

    @property
    def verdict(self) -> str:
        """What that says of the field, in words."""
        if not self.values:
            return "rare values alone, which the block does not tell apart"
        found = f"{self.in_place:.0%} came back in its place"
        if self.guess is None:
            return f"{found}, {self.anywhere:.0%} anywhere"
        if self.in_place <= self.guess:
            return f"no better than guessing ({found}, {self.guess:.0%} by guessing)"
        return f"{found}, {self.in_place - self.guess:.0%} more than by guessing"


@dataclass(frozen=True)
class Explanation:
    """A client's events beside those decoded from the vector.

    Parameters
    ----------
    client_id : str
    block, version : str
    cutoff : datetime
    true, decoded : dict of str to list of str
        The values of each field in the shop's words, oldest event first.
    same : dict of str to list of bool
        Whether both are one to the block, which does not tell rare values apart.
    recalls : list of Recall
    """

    client_id: str
    block: str
    version: str
    cutoff: datetime
    true: dict[str, list[str]]
    decoded: dict[str, list[str]]
    same: dict[str, list[bool]]
    recalls: list[Recall]


def explain(
    home: Home,
    client_id: str,
    name: str | None = None,
    version: str | None = None,
    cutoff: datetime | None = None,
) -> Explanation:
    """Decode a client's vector back into events.

    Parameters
    ----------
    home : Home
    client_id : str
        As the shop writes it.
    name : str, optional
        An autoencoder of the profile; by default the one with the most fields.
    version : str, optional
        The profile version; the newest by default.
    cutoff : datetime, optional
        Of the profile to decode; the client's newest one by default.

    Returns
    -------
    Explanation
        Of what was known when that profile was made.

    Raises
    ------
    UBPError
        If the profile has no such block, or the client no events that it reads.
    """
    profile = get_version(home, version)
    fitted = _autoencoder(profile.fits(home), name, profile.name)
    block = fitted.load()
    assert isinstance(block, GRUAutoencoder)  # noqa: S101
    if not profile.snapshots:
        raise UBPError(f"profile {profile.name} was not finished: run `ubp encode` first")
    with Warehouse(home.warehouse) as warehouse:
        key_states.require(warehouse.connection, fitted.keys, f"{fitted.name} {fitted.version}")
        key = warehouse.identifiers("client_id").keys(np.array([client_id]))
        file = _made(profile, np.asarray(key, np.int64), cutoff)
        cutoff, known = file.cutoff, known_then(warehouse, file) or EVERYTHING
        history = warehouse.history(cutoff, key, known)
        sequences = block.sequences(history)
        wanted = sum(1 << code for code in event_codes(block.needs))
        happened = history.table("timeline", last=block.last, types=wanted).to_pylist()[::-1]
        ids = {
            field: warehouse.identifiers(field).ids(vocabulary.values).tolist()
            for field, vocabulary in block.vocabularies_.items()
            if field in ID_COLUMNS
        }
    if not len(sequences.client_ids):
        raise UBPError(
            f"client {client_id} has no {' or '.join(block.needs)} event before "
            f"{cutoff:%Y-%m-%d %H:%M}"
        )
    (vector,) = block.encode_sequences(sequences)
    decoded = block.decode(vector, steps=int(sequences.offsets[-1]))
    true = sequences.fields
    texts = _texts(block, true, ids)
    steps = len(next(iter(true.values())))
    if steps == len(happened):  # a step is an event
        texts |= {field: _words(field, happened) for field in true if field in _OWN_WORDS}
    return Explanation(
        client_id=client_id,
        block=fitted.name,
        version=fitted.version,
        cutoff=cutoff,
        true=texts,
        decoded=_texts(block, decoded, ids),
        same={field: _same(true[field], decoded[field]) for field in true},
        recalls=[_recall(field, true[field], decoded[field]) for field in true],
    )


def _made(profile: ProfileVersion, key: np.ndarray, cutoff: datetime | None) -> SnapshotFile:
    """Return the snapshot with a client's profile, or the newest one of a stranger."""
    files = [one for one in profile.snapshots if cutoff in (None, one.cutoff)]
    for file in files[::-1]:
        if np.isin(key, client_keys(file.path)).any():
            return file
    return (files or profile.snapshots)[-1]


def _autoencoder(parts: list[FittedBlock], name: str | None, version: str) -> FittedBlock:
    autoencoders = {
        fitted.name: fitted
        for fitted in parts
        if issubclass(block_class(fitted.name), GRUAutoencoder)
    }
    if not autoencoders:
        raise UBPError(
            f"profile {version} has no autoencoder to decode: `ubp train gru_ae_week_all` adds one"
        )
    if name is None:
        return max(autoencoders.values(), key=lambda fitted: len(_fields(fitted.name)))
    if name not in autoencoders:
        raise UBPError(
            f"{name!r} is not an autoencoder of profile {version}; there are "
            f"{', '.join(autoencoders)}"
        )
    return autoencoders[name]


def _fields(name: str) -> tuple[str, ...]:
    cls = block_class(name)
    return cls.fields if issubclass(cls, GRUAutoencoder) else ()


# Fields of a sequence, and the columns of `timeline.sql` that say the same in the shop's words.
_OWN_WORDS = {
    "sku": ("name", "product"),
    "category": ("category",),
    "url": ("page",),
    "price": ("money", "bucket"),
}


def _words(field: str, happened: list[dict[str, Any]]) -> list[str]:
    found = []
    for event in happened:
        values = [event[name] for name in _OWN_WORDS[field] if event[name] is not None]
        value = values[0] if values and (event["product"] or field == "url") else ""
        found.append(f"{value:,.2f}" if isinstance(value, float) else str(value))
    return found


def _same(true: np.ndarray, decoded: np.ndarray) -> list[bool]:
    length = min(len(true), len(decoded))
    found: list[bool] = (true[:length] == decoded[:length]).tolist()
    return [*found, *[False] * (len(true) - length)]


def _recall(field: str, true: np.ndarray, decoded: np.ndarray) -> Recall:
    known = true >= Vocabulary.FIRST
    values = int(known.sum())
    length = min(len(true), len(decoded))
    hits = (known[:length] & (true[:length] == decoded[:length])).sum()
    common = (Counter(true[known].tolist()) & Counter(decoded.tolist())).total()
    return Recall(
        field,
        values,
        in_place=float(hits / max(values, 1)),
        anywhere=common / max(values, 1),
        rare=int((true == Vocabulary.RARE).sum()),
        guess=None if field == "code" else float((true == Vocabulary.FIRST).sum() / max(values, 1)),
    )


def _texts(
    block: GRUAutoencoder, tokens: dict[str, np.ndarray], ids: dict[str, list[Any]]
) -> dict[str, list[str]]:
    """Format the values of each field."""
    vocabularies = block.vocabularies_
    return {f: _field_texts(vocabularies[f], t, ids.get(f)) for f, t in tokens.items()}


def _field_texts(vocabulary: Vocabulary, tokens: np.ndarray, ids: list[Any] | None) -> list[str]:
    """Format the values of one field: ids as the shop's, codes of a name as position:code."""
    known = vocabulary.values.tolist() if ids is None else ids
    special = {Vocabulary.MISSING: "", Vocabulary.RARE: "rare"}
    values = [
        special.get(token) if token < Vocabulary.FIRST else known[token - Vocabulary.FIRST]
        for token in tokens.tolist()
    ]
    return [_text(vocabulary.field, value) for value in values]


def _text(field: str, value: int | str | None) -> str:
    if not isinstance(value, int):
        return value or ""
    if field == "event_type":
        return EVENT_TYPES[value].replace("_", " ")
    if field == "code":
        return f"{value // CODE_VALUES}:{value % CODE_VALUES}"
    return str(value)
