"""``ubp explain``: what can be decoded from an autoencoder's vector, beside the true events."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ubp_platform.blocks.catalog import Catalog, Fitted
from ubp_platform.blocks.gru_ae import GRUAutoencoder
from ubp_platform.blocks.registry import block_class
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import CODE_VALUES, EVENT_TYPES, ID_COLUMNS
from ubp_platform.home import Home
from ubp_platform.profile.version import get_version, newest_version
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.sequences import Vocabulary


@dataclass(frozen=True)
class Recall:
    """How much of one field came back, of the values that the block tells apart.

    Parameters
    ----------
    field : str
    values : int
        Events of the client that have such a value.
    in_place : float
        Share of them that were decoded at their own place.
    anywhere : float
        Share of them that were decoded at all, each as often as it occurred.
    guess : float, optional
        What ``in_place`` would be for somebody who knows only the shop: its most frequent value,
        every time. None where the block's vocabulary is not in the order of frequency.
    """

    field: str
    values: int
    in_place: float
    anywhere: float
    guess: float | None


@dataclass(frozen=True)
class Explanation:
    """A client's events beside those decoded from the vector.

    Parameters
    ----------
    client_id : str
    block, version : str
    cutoff : datetime
    true, decoded : dict of str to list of str
        A value in words for each event, oldest first; as many in every field.
    recalls : list of Recall
    """

    client_id: str
    block: str
    version: str
    cutoff: datetime
    true: dict[str, list[str]]
    decoded: dict[str, list[str]]
    recalls: list[Recall]


def explain(
    home: Home, client_id: str, name: str | None = None, version: str | None = None
) -> Explanation:
    """Decode a client's vector back into events.

    Parameters
    ----------
    home : Home
    client_id : str
        As the shop writes it.
    name : str, optional
        An autoencoder of the profile; the one with most fields by default.
    version : str, optional
        The profile version; the newest by default.

    Returns
    -------
    Explanation
        At the newest cutoff for which there are profiles.

    Raises
    ------
    UBPError
        If the profile has no such block, or the client no events that it reads.
    """
    profile = get_version(home, version) if version else newest_version(home)
    catalog = Catalog(home)
    parts = [catalog.get(part.block, part.version) for part in profile.parts]
    fitted = _autoencoder(parts, name, profile.name)
    block = fitted.load()
    assert isinstance(block, GRUAutoencoder)  # noqa: S101
    if not profile.snapshots:
        raise UBPError(f"profile {profile.name} was not finished: run `ubp encode` first")
    cutoff = profile.snapshots[-1].cutoff
    with Warehouse(home.warehouse) as warehouse:
        key = warehouse.identifiers("client_id").keys(np.array([client_id]))
        sequences = block.sequences(warehouse.history(cutoff, key))
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
    return Explanation(
        client_id,
        fitted.name,
        fitted.version,
        cutoff,
        {f: _words(block.vocabularies_[f], tokens, ids.get(f)) for f, tokens in true.items()},
        {f: _words(block.vocabularies_[f], tokens, ids.get(f)) for f, tokens in decoded.items()},
        [_recall(field, true[field], decoded[field]) for field in true],
    )


def _autoencoder(parts: list[Fitted], name: str | None, version: str) -> Fitted:
    found = {
        fitted.name: fitted
        for fitted in parts
        if issubclass(block_class(fitted.name), GRUAutoencoder)
    }
    if not found:
        raise UBPError(
            f"profile {version} has no autoencoder to decode: `ubp train gru_ae_week_all` adds one"
        )
    if name is None:
        return max(found.values(), key=lambda fitted: len(_fields(fitted.name)))
    if name not in found:
        raise UBPError(
            f"{name!r} is no autoencoder of profile {version}; there are {', '.join(found)}"
        )
    return found[name]


def _fields(name: str) -> tuple[str, ...]:
    cls = block_class(name)
    return cls.fields if issubclass(cls, GRUAutoencoder) else ()


def _recall(field: str, true: np.ndarray, decoded: np.ndarray) -> Recall:
    known = true >= Vocabulary.FIRST
    values = int(known.sum())
    both = min(len(true), len(decoded))
    hits = (known[:both] & (true[:both] == decoded[:both])).sum()
    common = (Counter(true[known].tolist()) & Counter(decoded.tolist())).total()
    return Recall(
        field,
        values,
        in_place=float(hits / max(values, 1)),
        anywhere=common / max(values, 1),
        guess=None if field == "code" else float((true == Vocabulary.FIRST).sum() / max(values, 1)),
    )


def _words(vocabulary: Vocabulary, tokens: np.ndarray, ids: list[Any] | None = None) -> list[str]:
    """Say the values of one field, ids as the shop's; codes of a name as position:code."""
    known = vocabulary.values.tolist() if ids is None else ids
    special = {Vocabulary.MISSING: "", Vocabulary.RARE: "rare"}
    values = [
        special.get(token) if token < Vocabulary.FIRST else known[token - Vocabulary.FIRST]
        for token in tokens.tolist()
    ]
    return [_word(vocabulary.field, value) for value in values]


def _word(field: str, value: int | str | None) -> str:
    if not isinstance(value, int):
        return value or ""
    if field == "event_type":
        return EVENT_TYPES[value].replace("_", " ")
    if field == "code":
        return f"{value // CODE_VALUES}:{value % CODE_VALUES}"
    return str(value)
