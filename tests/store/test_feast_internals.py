"""Every part of Feast that is used beyond its documented interface, by name.

If an upgrade of Feast changes one of them, a test here fails, and `store/feast_internals.py` is the
file to change.
"""

import inspect
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from feast import torch_wrapper
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.offline_stores import duckdb, ibis
from feast.infra.online_stores import helpers, sqlite
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.passthrough_provider import PassthroughProvider
from feast.infra.provider import get_provider
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from google.protobuf.message import DecodeError

from ubp_platform.home import Home
from ubp_platform.store import feast_internals as ours
from ubp_platform.store import stored_rows
from ubp_platform.store.online import OnlineStore


def names(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_an_offline_store_is_imported_when_it_is_used() -> None:
    """Its validation alone would import it; `feast.torch_wrapper` has nothing but `get_torch`."""
    store = {"type": "duckdb"}
    config = ours.deferring_offline_store(
        Path(), {"project": "p", "provider": "local", "registry": "r", "offline_store": store}
    )
    assert isinstance(config.offline_store, duckdb.DuckDBOfflineStoreConfig)
    public = {name for name, value in vars(torch_wrapper).items() if inspect.isfunction(value)}
    assert public == {"get_torch", "_import_torch"}


def test_the_signatures_that_we_call() -> None:
    assert names(get_provider) == ["config"]
    assert names(PassthroughProvider.online_write_batch)[1:5] == [
        "config",
        "table",
        "data",
        "progress",
    ]
    assert names(PassthroughProvider.online_read)[1:5] == [
        "config",
        "table",
        "entity_keys",
        "requested_features",
    ]
    assert names(PassthroughProvider.get_historical_features)[1:8] == [
        "config",
        "feature_views",
        "feature_refs",
        "entity_df",
        "registry",
        "project",
        "full_feature_names",
    ]
    update = ["config", "tables_to_delete", "tables_to_keep", "entities_to_delete"]
    for store in (SqliteOnlineStore, RedisOnlineStore):
        assert names(store.update)[1:5] == update
    assert names(SqliteOnlineStore._get_conn) == ["self", "config"]
    assert names(sqlite._table_id)[:2] == ["project", "table"]
    assert names(RedisOnlineStore._get_client) == ["self", "online_store_config"]
    assert names(RedisOnlineStore._parse_connection_string) == ["connection_string"]
    assert names(RedisOnlineStore._generate_redis_keys_for_entities) == [
        "self",
        "config",
        "entity_keys",
    ]
    assert names(helpers._mmh3) == ["key"]
    assert names(OnDemandFeatureView.get_requested_odfvs) == [
        "feature_refs",
        "project",
        "registry",
    ]
    assert names(duckdb._write_data_source)[:2] == ["table", "data_source"]
    assert "data_source_reader" in names(ibis.get_historical_features_ibis)


AT = datetime(2022, 7, 1, 6, 30, 0, 250, tzinfo=UTC)


def test_a_message_has_the_bytes_that_feast_makes_and_fields_of_ours_besides() -> None:
    vectors = np.array([[1, 2.5, -3], [0, 0, 7]], np.float32)
    made = list(ours.profile_messages([1, "anna"], AT, vectors))
    for message, vector, client in zip(made, vectors, [1, "anna"], strict=True):
        plain = Value(float_list_val=FloatList(val=vector.tolist()))
        assert message.SerializeToString().startswith(plain.SerializeToString())
        again = Value.FromString(message.SerializeToString())
        assert list(again.float_list_val.val) == vector.tolist()
        cutoff, numbers = ours.profile_of(client, again, AT.replace(year=1999))
        assert (cutoff, numbers.tobytes()) == (AT, vector.tobytes())
        with pytest.raises(ValueError, match=r"^$"):
            ours.profile_of(2, again, AT)
        # Of an earlier release.
        assert ours.profile_of(client, plain, AT)[0] == AT


def test_every_flipped_bit_of_a_message_is_noticed() -> None:
    (message,) = ours.profile_messages([1], AT, np.array([[1, 2.5]], np.float32))
    content = message.SerializeToString()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((ValueError, DecodeError)):
            ours.profile_of(1, Value.FromString(bytes(flipped)), AT)


@pytest.mark.parametrize("client", [0, 7, -(2**63), 2**63 - 1, "", "anna", "ü/b c\n", "x" * 300])
def test_keys_have_the_bytes_that_feast_makes(home: Home, client: int | str) -> None:
    theirs = serialize_entity_key(ours.entity_key("client_id", client), 3)
    assert OnlineStore(home)._rows.key(client) == theirs


@pytest.mark.parametrize("width", [0, 1, 31, 32, 1066, 5000])
@pytest.mark.parametrize("client", [7, "anna"])
def test_messages_are_read_without_feast_too(width: int, client: int | str) -> None:
    vector = np.random.default_rng(0).standard_normal((1, width)).astype(np.float32)
    (message,) = ours.profile_messages([client], AT, vector)
    found = stored_rows.profile_of(client, message.SerializeToString())
    assert found is not None
    assert (found[0], found[1].dtype, found[1].tobytes()) == (AT, np.float32, vector.tobytes())
    assert found[1].flags.writeable
    with pytest.raises(ValueError, match=r"^$"):
        stored_rows.profile_of("another", message.SerializeToString())
    # Of an earlier release: Feast reads it.
    plain = Value(float_list_val=FloatList(val=vector[0].tolist()))
    assert stored_rows.profile_of(client, plain.SerializeToString()) is None


def test_every_flipped_bit_of_a_message_is_noticed_or_left_to_feast() -> None:
    (message,) = ours.profile_messages([1], AT, np.array([[1, 2.5]], np.float32))
    content = message.SerializeToString()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert stored_rows.profile_of(1, bytes(flipped)) is None
        except ValueError:
            continue
