"""``ubp profile`` and ``ubp training-set``: profiles for people and for downstream models."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError
from ubp_platform.files import atomic_file
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfilePart
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.profile_lock import lock_path
from ubp_platform.store.retrieval import Profile, ProfileStore
from ubp_platform.warehouse.identifiers import integer_id


def profile(home: Home, client_id: str) -> tuple[Profile, list[ProfilePart]]:
    """Look up a client in the online store.

    Parameters
    ----------
    home : Home
    client_id : str
        As the shop writes it.

    Returns
    -------
    profile : Profile
    parts : list of ProfilePart
        The columns of each block.
    """
    store = ProfileStore(home)
    shop_id = client_id if store.has_text_ids else integer_id(client_id)
    return store.lookup(shop_id), store.version.parts


def as_json(found: Profile) -> dict[str, Any]:
    """Return a profile as JSON-ready values."""
    return {
        "client_id": found.client_id,
        "known": found.known,
        "version": found.version,
        "cutoff": found.cutoff.isoformat() if found.cutoff else None,
        "width": len(found.vector),
        "vector": [float(number) for number in found.vector],
    }


def training_set(
    home: Home,
    entities: Path,
    out: Path,
    version: str | None = None,
    progress: ProgressFactory = logged,
    *,
    as_served: bool = False,
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
    as_served : bool
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
    result = store.training_set(table, progress, as_served=as_served)
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
