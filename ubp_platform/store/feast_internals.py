"""What the platform needs of Feast beyond its documented interface; all of it is here.

``tests/store/test_feast_internals.py`` names each part: an upgrade of Feast that changes one fails
there.

An online store is written and read through Feast's provider, with views that are made here, and not
through ``FeatureStore``: readers need no registry, and so neither wait for one nor write to it.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.online_stores.sqlite import SqliteOnlineStore, _table_id
from feast.infra.provider import Provider, get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from google.protobuf.unknown_fields import UnknownFieldSet

#: As Feast's online stores take it: key, features, time, creation time.
Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

# A profile's cutoff and checksum are fields of the message that Feast does not know, and leaves be.
# Feast's own time of a row is off by the zone of the machine that wrote it, on SQLite.
_CUTOFF_FIELD, _CHECKSUM_FIELD = 2**29 - 2, 2**29 - 1
_FIXED64, _FIXED32 = 1, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def provider_of(config: RepoConfig) -> Provider:
    """Return Feast's access to the stores of a configuration; no server is contacted."""
    return get_provider(config)


class DeferredOfflineStoreConfig(FeastConfigBaseModel):
    """Stands for an offline store until one is used."""

    type: str


def deferring_offline_store(repo_path: Path, configuration: Mapping[str, Any]) -> RepoConfig:
    """Make Feast's configuration without importing the offline store, which takes a second.

    Feast imports the store that a configuration names in order to check it. Here it checks a
    stand-in, and imports the store when it is used first.

    Parameters
    ----------
    repo_path : Path
    configuration : mapping
        The other arguments of ``RepoConfig``.
    """
    stand_in = f"{__name__}.{DeferredOfflineStoreConfig.__name__.removesuffix('Config')}"
    arguments = {**configuration, "offline_store": {"type": stand_in}}
    config = RepoConfig(repo_path=repo_path, **arguments)
    config.offline_config = configuration["offline_store"]
    return config


def create_table(provider: Provider, config: RepoConfig, view: FeatureView) -> None:
    """Prepare the online store for a view."""
    provider.online_store.update(config, [], [view], [], [], partial=True)


def drop_table(
    provider: Provider, config: RepoConfig, view: FeatureView, keys: Iterable[Sequence[EntityKey]]
) -> None:
    """Remove a view's rows from the online store.

    Parameters
    ----------
    provider, config, view
    keys : iterable of sequence of EntityKey
        The rows, in slices; Redis has no tables.
    """
    store: Any = provider.online_store
    if not is_redis(config):
        store.update(config, [view], [], [], [], partial=True)
        return
    fields = redis_fields(view)
    for part in keys:
        with redis_client(provider, config).pipeline(transaction=False) as pipe:
            for key in store._generate_redis_keys_for_entities(config, list(part)):
                pipe.hdel(key, *fields)
            pipe.execute()


def count_rows(
    provider: Provider, config: RepoConfig, view: FeatureView, keys: Iterable[Sequence[EntityKey]]
) -> int | None:
    """Count a view's rows in the online store; None where the store cannot say.

    Parameters
    ----------
    provider, config, view
    keys : iterable of sequence of EntityKey
        The rows to count, in slices; Redis has no tables.
    """
    store: Any = provider.online_store
    if isinstance(store, SqliteOnlineStore):
        table = _table_id(config.project, view)
        query = f'SELECT count(*) FROM "{table}"'  # noqa: S608 - a name of ours
        return int(store._get_conn(config).execute(query).fetchall()[0][0])
    if not is_redis(config):
        return None
    found, written = 0, redis_fields(view)[-1]
    for part in keys:
        with redis_client(provider, config).pipeline(transaction=False) as pipe:
            for key in store._generate_redis_keys_for_entities(config, list(part)):
                pipe.hexists(key, written)
            found += sum(map(int, pipe.execute()))
    return found


def remove_rows(provider: Provider, config: RepoConfig, keys: Sequence[EntityKey]) -> bool:
    """Remove rows of all views, whatever they hold, with their bytes.

    Returns
    -------
    bool
        False, and nothing is done, if the store is neither SQLite nor Redis.
    """
    store: Any = provider.online_store
    if is_redis(config):
        names = store._generate_redis_keys_for_entities(config, list(keys))
        redis_client(provider, config).unlink(*names)
        return True
    if not isinstance(store, SqliteOnlineStore):
        return False

    names = [(serialized(config, key),) for key in keys]
    connection = store._get_conn(config)
    of_tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in connection.execute(of_tables)]
    connection.execute("PRAGMA secure_delete = ON")
    with connection:
        for table in tables:
            connection.executemany(f'DELETE FROM "{table}" WHERE entity_key = ?', names)  # noqa: S608
    return True


def state_of(provider: Provider, config: RepoConfig) -> object | None:
    """Return what is another whenever anything has been written to SQLite's file.

    Returns
    -------
    object or None
        None where the store cannot say, and if the file was removed or replaced.
    """
    store: Any = provider.online_store
    if not isinstance(store, SqliteOnlineStore):
        return None
    connection = store._get_conn(config)
    # What others wrote, and what this connection did.
    ((version,),) = connection.execute("PRAGMA data_version").fetchall()
    return version, connection.total_changes, id(connection)


def serialized(config: RepoConfig, key: EntityKey) -> bytes:
    """Return a key as SQLite has it; in Redis the name of the project follows."""
    return bytes(serialize_entity_key(key, config.entity_key_serialization_version))


def stored_messages(
    provider: Provider, config: RepoConfig, view: FeatureView, keys: Sequence[bytes]
) -> list[bytes | None]:
    """Read the messages of a view's only feature, from SQLite or Redis.

    Parameters
    ----------
    provider, config, view
    keys : sequence of bytes
        As :func:`serialized`.
    """
    if is_redis(config):
        field, project = redis_fields(view)[0], config.project.encode()
        with redis_client(provider, config).pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(key + project, field)
            return list(pipe.execute())
    store: Any = provider.online_store
    places = ", ".join("?" * len(keys))
    rows = store._get_conn(config).execute(
        f'SELECT entity_key, value FROM "{_table_id(config.project, view)}" '  # noqa: S608
        f"WHERE entity_key IN ({places}) AND feature_name = ?",
        [*keys, view.features[0].name],
    )
    found = dict(rows.fetchall())
    return [found.get(key) for key in keys]


def is_sqlite(provider: Provider) -> bool:
    """Whether the online store is SQLite."""
    return isinstance(provider.online_store, SqliteOnlineStore)


def is_redis(config: RepoConfig) -> bool:
    """Whether the online store is Redis."""
    return bool(config.online_store.type == "redis")


def redis_client(provider: Provider, config: RepoConfig) -> Any:
    """Return the client that Feast talks to Redis with."""
    store: Any = provider.online_store
    return store._get_client(config.online_store)


def redis_options(connection_string: str) -> tuple[Any, dict[str, Any]]:
    """Parse a connection string as Feast does: hosts, and options of the client."""
    from feast.infra.online_stores.redis import RedisOnlineStore

    return RedisOnlineStore._parse_connection_string(connection_string)


def redis_fields(view: FeatureView) -> list[bytes | str]:
    """Return the fields of a client's hash that hold a view: features, then the time."""
    from feast.infra.online_stores.helpers import _mmh3

    names = [field.name for field in view.features]
    return [*(_mmh3(f"{view.name}:{name}") for name in names), f"_ts:{view.name}"]


def historical_features(
    provider: Provider,
    config: RepoConfig,
    view: FeatureView,
    features: list[str],
    keys: pd.DataFrame,
) -> RetrievalJob:
    """Join rows with the newest row of a view that is not after them."""
    references = [f"{view.name}:{feature}" for feature in features]
    registry: Any = _NoOnDemandViews()
    return provider.get_historical_features(
        config, [view], references, keys, registry, config.project, False
    )


def duckdb_writer() -> Callable[..., None]:
    """Return the function that writes what Feast's DuckDB store has joined."""
    from feast.infra.offline_stores import duckdb

    return duckdb._write_data_source


class _NoOnDemandViews:
    """All that a join of one view asks a registry."""

    def list_on_demand_feature_views(self, *_: Any, **__: Any) -> list[Any]:
        """Return nothing."""
        return []


def forget_connection(provider: Provider) -> None:
    """Open SQLite's file anew with the next query: it is another one now."""
    store: Any = provider.online_store
    if isinstance(store, SqliteOnlineStore):
        store._conn = None


def entity_key(name: str, value: int | str) -> EntityKey:
    """Return the key of a row, of one integer or text."""
    of_feast = Value()
    setattr(of_feast, "string_val" if isinstance(value, str) else "int64_val", value)
    return EntityKey(join_keys=[name], entity_values=[of_feast])


def profile_messages(
    client_ids: Sequence[int | str], cutoff: datetime, vectors: np.ndarray
) -> Iterator[Value]:
    """Make Feast's messages of profiles, without a Python float for each number.

    In Protocol Buffers a message field is a tag, a length and its bytes; a packed float list
    consists of its numbers, four little-endian bytes each.

    Parameters
    ----------
    client_ids : sequence of int or str
    cutoff : datetime
    vectors : ndarray of float32, shape (n_clients, width)
    """
    header, at = message_header(vectors.shape[1]), _microseconds(cutoff)
    cutoff_tag, checksum_tag = TRAILER_TAGS
    trailer = cutoff_tag + struct.pack("<q", at) + checksum_tag
    for client_id, vector in zip(client_ids, vectors.astype("<f4"), strict=True):
        numbers = vector.tobytes()
        end = struct.pack("<I", checksum(client_id, at, numbers))
        yield Value.FromString(header + numbers + trailer + end)


def message_header(width: int) -> bytes:
    """Return what stands before the numbers of a message: tags and lengths."""
    probe = Value(float_list_val=FloatList(val=[0.0] * width)).SerializeToString()
    return probe[: len(probe) - 4 * width]


def profile_of(client_id: int | str, value: Value, time: datetime) -> tuple[datetime, np.ndarray]:
    """Read a message.

    Parameters
    ----------
    client_id : int or str
    value : Value
    time : datetime
        Feast's time of the row: the cutoff in messages of earlier releases.

    Returns
    -------
    cutoff : datetime
    vector : ndarray of float32, shape (width,)

    Raises
    ------
    ValueError
        If the message is not what was written for this client.
    """
    vector = np.array(value.float_list_val.val, dtype=np.float32)
    ours = {field.field_number: int(field.data) for field in UnknownFieldSet(value)}
    if ours.keys() != {_CUTOFF_FIELD, _CHECKSUM_FIELD}:
        if ours:
            raise ValueError
        return time.astimezone(UTC), vector
    (at,) = struct.unpack("<q", struct.pack("<Q", ours[_CUTOFF_FIELD]))
    if checksum(client_id, at, vector.astype("<f4").tobytes()) != ours[_CHECKSUM_FIELD]:
        raise ValueError
    return time_of(at), vector


def _microseconds(time: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=1000)
def time_of(microseconds: int) -> datetime:
    """Return the time of a message, in UTC; most of a lookup's are the same."""
    return _EPOCH + timedelta(microseconds=microseconds)


def checksum(client_id: int | str, cutoff: int, numbers: bytes | memoryview) -> int:
    """Return the checksum of a profile, whose cutoff is in microseconds since 1970."""
    return zlib.crc32(numbers, zlib.crc32(f"{client_id}\n{cutoff}\n".encode()))


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


#: What stands before the cutoff, and before the checksum, behind the numbers.
TRAILER_TAGS = (
    _varint(_CUTOFF_FIELD << 3 | _FIXED64),
    _varint(_CHECKSUM_FIELD << 3 | _FIXED32),
)
