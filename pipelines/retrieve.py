"""``ubp profile`` and ``ubp training-set``: profiles for people and for downstream models."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import DamagedFile, NotOnline, UBPError
from ubp_platform.files import atomic_file
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfilePart
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.similar.facts import Client, Facts
from ubp_platform.store.profile_lock import lock_path
from ubp_platform.store.retrieval import Profile, ProfileStore
from ubp_platform.store.similar import Neighbour
from ubp_platform.warehouse.identifiers import integer_id


@dataclass(frozen=True)
class Feature:
    """A handcrafted feature of a client.

    Parameters
    ----------
    name : str
    value : float
        In its own unit.
    percentile : float
        The share of clients with a smaller one, of those with the same one half.
    """

    name: str
    value: float
    percentile: float


@dataclass(frozen=True)
class Described:
    """A client's profile, and what an index of similar clients tells besides.

    Parameters
    ----------
    profile : Profile
    parts : list of ProfilePart
        The columns of each block.
    client : Client, optional
        None for strangers, and without an index.
    features : list of Feature
        The most unusual first, without those that are equal for all clients.
    neighbours : list of Neighbour
    why_no_index : str
        Why there is nothing besides the profile; empty if there is.
    """

    profile: Profile
    parts: list[ProfilePart]
    client: Client | None = None
    features: list[Feature] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    why_no_index: str = ""


def profile(home: Home, client_id: str) -> Described:
    """Look up a client in the online store, and describe it.

    Parameters
    ----------
    home : Home
    client_id : str
        As the shop writes it.
    """
    store = ProfileStore(home)
    shop_id = client_id if store.has_text_ids else integer_id(client_id)
    found, parts = store.lookup(shop_id), store.version.parts
    if not found.known:
        return Described(found, parts)
    try:
        return described(store, found)
    except (NotOnline, DamagedFile) as error:
        return Described(found, parts, why_no_index=str(error))


def features_of(facts: Facts, slot: int) -> list[Feature]:
    """Return a client's features, the most unusual first, without those equal for all clients."""
    places = facts.percentiles(slot)
    features = [
        Feature(name, value, places[name])
        for name, value in facts.features_of(slot).items()
        if not facts.is_constant(name)
    ]
    features.sort(key=lambda one: -abs(one.percentile - 0.5))
    return features


def described(store: ProfileStore, found: Profile, neighbours: int = 5) -> Described:
    """Describe a known client.

    Raises
    ------
    NotOnline
        If the version has no index.
    DamagedFile
        If the index is damaged.
    """
    facts = store.similar_search.indexes.state().facts
    slot = facts.slot(found.client_id)
    if slot is None:
        return Described(found, store.version.parts)
    features = features_of(facts, slot)
    similar = store.similar(found.client_id, neighbours).neighbours
    return Described(found, store.version.parts, facts.client(slot), features, similar)


def as_json(found: Described) -> dict[str, Any]:
    """Return a description as JSON-ready values."""
    profile, client = found.profile, found.client
    last = client.last_event if client else None
    return {
        "client_id": profile.client_id,
        "known": profile.known,
        "version": profile.version,
        "cutoff": profile.cutoff.isoformat() if profile.cutoff else None,
        "last_event": last.isoformat() if last else None,
        "events": client.events if client else None,
        "categories": client.categories if client else [],
        "features": {
            one.name: {"value": round(one.value, 6), "percentile": round(one.percentile, 4)}
            for one in found.features
        },
        "similar": {str(one.client.client_id): one.similarity for one in found.neighbours},
        "width": len(profile.vector),
        "vector": [float(number) for number in profile.vector],
    }


def training_set(
    home: Home,
    entities: Path,
    out: Path,
    version: str | None = None,
    progress: ProgressFactory = logged,
    *,
    as_served: bool = False,
    engine: Engine = HERE,
) -> tuple[int, int]:
    """Write entities with their profiles, and beside them a lock of the profile version.

    Parameters
    ----------
    home : Home
    entities : Path
        Parquet with ``client_id``, ``event_timestamp`` and any labels.
    out : Path
        The same rows in the same order, with ``known`` and ``profile`` added.
    version : str, optional
    progress : ProgressFactory
    as_served, engine
        As in :meth:`~ubp_platform.store.retrieval.ProfileStore.training_set`.

    Returns
    -------
    rows, known : int
    """
    try:
        table = pq.read_table(entities)
    except FileNotFoundError:
        raise UBPError(f"no such file: {entities}") from None
    except (pa.ArrowException, OSError):
        raise UBPError(f"{entities} is not a Parquet file: entities must be one") from None
    if out.suffix.lower() not in ("", ".parquet", ".pq"):
        raise UBPError(f"{out}: the output is Parquet: name a file that ends in .parquet")
    if not out.parent.is_dir():
        raise UBPError(f"no such directory: {out.parent}")
    if out.is_dir():
        raise UBPError(f"{out} is a directory: name the file to write")
    if out.exists() and out.samefile(entities):
        raise UBPError(f"{out} is the input: name another file for the output")
    if taken := {"known", "profile"} & set(table.column_names):
        raise UBPError(f"{entities}: rename the column {', '.join(taken)}: the output adds it")
    store = ProfileStore(home, version)
    result = store.training_set(table, progress, as_served=as_served, engine=engine)
    rows, width = result.X.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    profiles = pa.LargeListArray.from_arrays(offsets, result.X.ravel())
    table = table.append_column("known", pa.array(result.known)).append_column("profile", profiles)
    try:
        with atomic_file(out) as temporary:
            pq.write_table(table, temporary, row_group_size=8192)
            store.lock(lock_path(out))
    except OSError as error:
        raise UBPError(f"cannot write {out}: {error.strerror}") from None
    return rows, int(result.known.sum())
