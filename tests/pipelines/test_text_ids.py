"""A shop with text ids: the same profiles as with numbers, and its own ids in every output."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from pipelines.clients import relevant_clients
from pipelines.export import export
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, layout, purchases
from tests.pipelines.job import LAST
from tests.pipelines.landed import rows
from tests.shops import END, random_shop
from ubp_platform.blocks.snapshot import client_keys, shop_ids
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store.retrieval import ProfileStore

BLOCKS = ["counters", "item_scores", "ials_categories", "handcrafted"]
# In the order of the numbers, so that ties are broken alike.
SPELLING = {
    "client_id": "user {:05d}",
    "sku": "SKU-{:05d}'ä",
    "category": "home/{:03d}",
    "url": "https://shop.example/p?id={:03d}",
}


def spelled(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {
        name: frame.assign(
            **{c: frame[c].map(SPELLING[c].format) for c in frame.columns.intersection([*SPELLING])}
        )
        for name, frame in tables.items()
    }


def job(home: Home, delivery: Path) -> Home:
    ingest(home, str(delivery))
    train(home, BLOCKS, LAST)
    publish(home)
    return home


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Home:
    place = tmp_path_factory.mktemp("numbers")
    return job(Home(home=place / "home"), deliver(place / "delivery", **random_shop()))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Home:
    place = tmp_path_factory.mktemp("texts")
    delivery = deliver(place / "delivery", ".csv", **spelled(random_shop()))
    return job(Home(home=place / "home"), delivery)


def test_profiles_are_those_of_the_same_shop_with_numbers(numbers: Home, texts: Home) -> None:
    ours, theirs = newest_version(texts), newest_version(numbers)
    path = ours.snapshot_path(LAST)
    ids = [SPELLING["client_id"].format(one) for one in client_keys(theirs.snapshot_path(LAST))]
    assert shop_ids(path).to_pylist() == ids
    store, other = ProfileStore(texts), ProfileStore(numbers)
    everybody = [profile.vector for profile in store.lookup_many(ids)]
    same = [p.vector for p in other.lookup_many(client_keys(theirs.snapshot_path(LAST)))]
    assert np.stack(everybody).tobytes() == np.stack(same).tobytes()


def test_any_feast_client_looks_up_the_shops_own_id(texts: Home) -> None:
    plain = FeatureStore(fs_yaml_file=texts.feast / "feature_store.yaml")
    assert plain.get_entity("client").value_type.name == "STRING"
    service = plain.get_feature_service(f"profile_{newest_version(texts).name}")
    found = plain.get_online_features(service, [{"client_id": "user 00007"}]).to_dict()
    vector = np.array(found["embedding"][0], np.float32)
    assert vector.tobytes() == ProfileStore(texts).lookup("user 00007").vector.tobytes()


def test_training_sets_and_lookups_take_the_shops_ids_and_no_others(texts: Home) -> None:
    store = ProfileStore(texts)
    ids = ["user 00033", "nobody", "user 00002"]
    entities = pd.DataFrame({"client_id": ids, "event_timestamp": LAST, "label": [1, 2, 3]})
    result = store.training_set(entities)
    assert result.known.tolist() == [True, False, True]
    online = store.lookup_many(ids)
    assert [profile.client_id for profile in online] == ids
    assert np.stack([profile.vector for profile in online]).tobytes() == result.X.tobytes()
    with pytest.raises(UBPError, match="client ids of this shop are text, not 33"):
        store.lookup(33)
    with pytest.raises(UBPError, match=r"client_id must be text.*in row 1 it is 33"):
        store.training_set(entities.assign(client_id=[33, 2, 1]))
    with pytest.raises(UBPError, match=r"client_id must be text.*in row 2 it is None"):
        store.training_set(entities.assign(client_id=["a", None, "b"]))


def test_commands_accept_and_return_the_shops_ids(
    texts: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--home", str(texts.root))
    shown = run_ubp(capsys, "profile", "user 00007", *where)
    assert (shown.code, "Client user 00007" in shown.out) == (0, True)
    found = json.loads(run_ubp(capsys, "profile", "user 00007", "--json", *where).out)
    assert (found["client_id"], found["known"]) == ("user 00007", True)
    entities = pd.DataFrame({"client_id": ["user 00007"], "event_timestamp": [LAST]})
    entities.to_parquet(tmp_path / "in.parquet")
    asked = (tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert run_ubp(capsys, "training-set", *asked, *where).code == 0
    written = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]
    np.testing.assert_array_equal(written["profile"], np.float32(found["vector"]))


def test_lists_of_clients_contain_the_shops_ids(texts: Home, tmp_path: Path) -> None:
    listed = tmp_path / "wanted.csv"
    listed.write_text("client_id\nuser 00003\nnot here yet\nuser 00001\n")
    wanted = relevant_clients(texts, listed)
    assert (len(wanted.clients), wanted.with_events) == (3, 2)
    # Listed clients whose first events come later are relevant, too.
    more = purchases(3, client_id="not here yet", sku=SPELLING["sku"].format(1))
    ingest(texts, str(deliver(tmp_path / "more", ".csv", product_buy=more)))
    assert relevant_clients(texts).with_events == 3
    relevant_clients(texts, everybody=True)
    (tmp_path / "numbers.npy").write_bytes(b"")
    np.save(tmp_path / "numbers.npy", np.array([3, 1]))
    with pytest.raises(UBPError, match="this shop's client_id is a text, not a whole number"):
        relevant_clients(texts, tmp_path / "numbers.npy")


def test_exports_contain_the_shops_ids(texts: Home, numbers: Home, tmp_path: Path) -> None:
    ours = export(texts, tmp_path / "texts", blocks=["counters"])
    theirs = export(numbers, tmp_path / "numbers", blocks=["counters"])
    ids = np.load(tmp_path / "texts" / "client_ids.npy", allow_pickle=False)
    others = np.load(tmp_path / "numbers" / "client_ids.npy")
    # One more client was added above, after the split.
    assert set(map(SPELLING["client_id"].format, others)) <= set(ids.tolist())
    assert [file.name for file in ours.files] == [file.name for file in theirs.files]
    for name in ("input/page_visit", "input/product_buy", "target/train_target"):
        path = f"{name}.parquet"
        number = pq.read_table(tmp_path / "numbers" / path).to_pandas()
        text = pq.read_table(tmp_path / "texts" / path).to_pandas()
        text = text[text["client_id"] != "not here yet"]
        columns = ["client_id", "timestamp", *number.columns[2:]]
        expected = spelled({name: number})[name][columns].astype(str)
        pd.testing.assert_frame_equal(
            *(
                frame[columns].astype(str).sort_values(columns, ignore_index=True)
                for frame in (text, expected)
            )
        )
    classes = np.load(tmp_path / "texts" / "target" / "propensity_sku.npy", allow_pickle=False)
    assert all(one.startswith("SKU-") for one in classes.tolist())


def test_a_later_delivery_of_the_other_kind_is_refused(
    texts: Home, numbers: Home, tmp_path: Path
) -> None:
    before = rows(texts, "SELECT count(*) FROM product_buy")
    with pytest.raises(BatchRejected, match="client_id is of type BIGINT throughout; a text, as"):
        ingest(texts, str(deliver(tmp_path / "whole", product_buy=purchases(20))))
    assert rows(texts, "SELECT count(*) FROM product_buy") == before
    with pytest.raises(BatchRejected, match="client_id is present and a whole number of 64 bits"):
        anna = purchases(20, client_id="anna")
        ingest(numbers, str(deliver(tmp_path / "text", ".csv", product_buy=anna)))


def test_the_same_events_again_are_known(home: Home, tmp_path: Path) -> None:
    tables = spelled(random_shop(events=200))
    first = ingest(home, str(deliver(tmp_path / "first", ".csv", **tables)))
    # In another order, in another format: other files of the same rows.
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in tables.items()}
    again = ingest(home, str(deliver(tmp_path / "again", ".parquet", **shuffled)))
    assert sum(file.landed for file in first.files) > 1000
    assert sum(file.landed for file in again.files) == 0
    keys = [key for (key,) in rows(home, "SELECT key FROM client_id_key ORDER BY key")]
    assert keys == list(range(60))
    assert rows(home, "SELECT count(DISTINCT id) FROM client_id_key") == [(60,)]


@pytest.mark.parametrize(
    "value", ["1e7f-ab", "0x17", "007", " 7", "NULL", "n/a", "ÄÖ", "a\tb", "7 "]
)
def test_text_ids_stay_as_they_are(home: Home, tmp_path: Path, value: str) -> None:
    frame = purchases(client_id="someone")
    frame.loc[:49, "client_id"] = value
    ingest(home, str(deliver(tmp_path / "delivery", product_buy=frame)))
    assert rows(home, "SELECT id FROM client_id_key ORDER BY id") == [
        (one,) for one in sorted(["someone", value])
    ]


@pytest.mark.parametrize("value", ["5.12E+08", "1e+21", "", "  "])
def test_invalid_text_ids_are_quarantined(home: Home, tmp_path: Path, value: str) -> None:
    frame = purchases(client_id="someone")
    frame.loc[3, "client_id"] = value
    result = ingest(home, str(deliver(tmp_path / "delivery", product_buy=frame)))
    assert [(file.landed, file.quarantined) for file in result.files] == [(99, 1)]
    assert rows(home, "SELECT id FROM client_id_key") == [("someone",)]


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (pd.Series([-(2**62), 2**62] * 50), "whole"),
        (pd.Series([2**63 + 5, 7] * 50, dtype="uint64"), "text"),
        (pd.Series([str(2**63 + 5), "7"] * 50), "text"),
        (pd.Series(["17", "0000017"] * 50), "text"),
        (pd.Series(["17.0", "18"] * 50), "whole"),
    ],
)
def test_the_kind_of_ids_depends_on_all_of_them(
    home: Home, tmp_path: Path, ids: pd.Series, kind: str
) -> None:
    ingest(home, str(deliver(tmp_path / "delivery", product_buy=purchases(client_id=ids))))
    query = "SELECT kind FROM column_kind WHERE column_name = 'client_id'"
    assert rows(home, query) == [(kind,)]
    assert rows(home, "SELECT count(DISTINCT client_id) FROM product_buy") == [(2,)]


def test_a_layout_may_say_that_numbers_are_text(home: Home, tmp_path: Path) -> None:
    query = "SELECT client_id, timestamp, sku FROM rows"
    mine = layout(tmp_path / "mine", 'text_ids = ["client_id"]', product_buy=query)
    frame = purchases(client_id=["0017"] + ["17"] * 99)
    ingest(home, str(deliver(tmp_path / "delivery", ".csv", product_buy=frame)), mine)
    assert rows(home, "SELECT id FROM client_id_key ORDER BY key") == [("0017",), ("17",)]


def test_a_warehouse_from_before_text_ids_is_upgraded(home: Home, tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "first", **random_shop(events=100))
    ingest(home, str(delivery))
    with duckdb.connect(home.warehouse) as connection:  # as releases before this one left it
        for table in ("column_kind", "client_id_key", "sku_key", "category_key", "url_key"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP TABLE price_edge; DROP TABLE text_code")
        for column in ("price", "quantity"):
            connection.execute(f"ALTER TABLE product_buy DROP COLUMN {column}")
        connection.execute("ALTER TABLE page_visit DROP COLUMN known_from")
        connection.execute("ALTER TABLE product_properties DROP COLUMN money")
        connection.execute("ALTER TABLE product_properties ALTER price SET NOT NULL")
    train(home, ["counters"], pd.Timestamp(END, tz="UTC").to_pydatetime())
    later = purchases(5, timestamp=pd.Timestamp("2022-08-03"))
    assert ingest(home, str(deliver(tmp_path / "later", product_buy=later))).files[0].landed == 5
    with pytest.raises(BatchRejected, match="a whole number"):
        anna = purchases(5, client_id="anna", timestamp=pd.Timestamp("2022-08-04"))
        ingest(home, str(deliver(tmp_path / "anna", product_buy=anna)))
