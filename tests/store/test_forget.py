"""Forgetting clients: nothing of them is left in any file of the home, nor in the online store."""

import shutil
import sqlite3
import struct
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from redis import Redis

from pipelines import forget as pipeline
from pipelines.audit import audit
from pipelines.card import card
from pipelines.clients import relevant_clients
from pipelines.doctor import examine
from pipelines.encode import encode
from pipelines.forget import forget
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.revert import revert
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT, LATER, day
from tests.shops import random_shop
from ubp_platform.blocks.embedding_cache import EmbeddingCache, text_key
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.names import remember
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse

CLIENT = "ZORBLAX-7781"
#: What only this client did; the parts of it that must not be found afterwards.
SECRETS = (CLIENT, "quixotic-4471", "WUMPUS-9912", "velociraptor", "notatime", "brokenline")
BLOCKS = ["counters", "handcrafted"]


def shop(client: object = CLIENT, first: str = "2022-06-10") -> dict[str, pd.DataFrame]:
    """Return a shop with words and ids of text, in which one client leaves traces of all kinds."""
    tables = random_shop(seed=5, clients=40, events=900)
    tables = {name: frame.copy() for name, frame in tables.items()}
    if isinstance(client, str):
        for frame in tables.values():
            if "client_id" in frame:
                frame["client_id"] = frame["client_id"].map("c{:03}".format)
    for frame in tables.values():
        if "sku" in frame:
            frame["sku"] = frame["sku"].map("sku-{:03}".format)
    tables["page_visit"]["url"] = tables["page_visit"]["url"].map("/p/{:03}".format)
    tables["search_query"]["query"] = "small table"
    tables["product_properties"]["name"] = "oak chair"
    at = pd.Timestamp(first)
    own = {
        "product_buy": [(client, at, "sku-001"), (client, at, "WUMPUS-9912")],
        "page_visit": [(client, at, "/private/quixotic-4471"), (client, at, "/p/001")],
        "search_query": [(client, at, "velociraptor saddle")],
    }
    for name, rows in own.items():
        new = pd.DataFrame(rows, columns=tables[name].columns)
        tables[name] = pd.concat([tables[name], new], ignore_index=True)
    return tables


def delivered(directory: Path, client: object = CLIENT, **arguments: str) -> Path:
    """Write the shop, a row of the client that breaks a rule, and a line that is no row."""
    directory.mkdir()
    for name, frame in shop(client, **arguments).items():
        frame.to_csv(directory / f"{name}.csv", index=False)
    with (directory / "page_visit.csv").open("a") as file:
        file.write(f"{client},notatime-8830,/p/002\n")
        file.write(f"{client},2022-06-11,/p/003,brokenline-55\n")
    return directory


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("forget")
    home = Home(directory / "home")
    ingest(home, str(delivered(directory / "delivery")))
    train(home, BLOCKS, FIT)
    encode(home, [LATER])
    # Profiles that were evaluated, and the caches of fits that this shop is too small for.
    shutil.copytree(home.profiles / "v1", home.evaluation / "profiles" / "v1")
    remember(home.root / "names" / "evaluation" / "profiles" / "v1")
    (home.checkpoints / "counters").mkdir(parents=True)
    (home.checkpoints / "counters" / "x.safetensors").write_bytes(CLIENT.encode())
    return home


@pytest.fixture
def home(landed: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(landed.root, tmp_path / "home"))


def contents(home: Home) -> dict[str, bytes]:
    """Return the bytes of all files, and what the tables say of which the bytes are compressed."""
    found = {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    with duckdb.connect(home.warehouse, read_only=True) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(f'FROM "{name}"').fetchall()
            found[f"table {name}"] = repr(rows).encode()
    return found


def places(home: Home, *texts: str) -> set[str]:
    """Return where any of these texts is, in whatever case."""
    return {
        f"{Path(place).name}: {text}"
        for place, content in contents(home).items()
        for text in texts
        if text.lower().encode() in content.lower()
    }


def in_redis(client: Redis) -> bytes:
    return b"".join(key + repr(client.hgetall(key)).encode() for key in client.scan_iter())


def test_nothing_is_left(home: Home, online_store: str, request: pytest.FixtureRequest) -> None:
    with Warehouse(home.warehouse) as warehouse:
        (key,) = warehouse.identifiers("client_id").keys(np.array([CLIENT])).tolist()
    cache = home.scratch / "lm" / "model.sqlite"
    with EmbeddingCache(cache) as embeddings:
        vectors = np.arange(9, dtype=np.float32).reshape(3, 3) + 1234.5678
        of = [text_key("one"), text_key("two"), text_key("three")]
        embeddings.write(of, [key, key + 1, key], vectors)
    publish(home)
    publish(home, everybody=True)
    for text in SECRETS:
        assert places(home, text), f"{text} must be found before"
    store = ProfileStore(home)
    others = [f"c{number:03}" for number in range(1, 41)]
    before = np.stack([found.vector for found in store.lookup_many(others)])
    assert store.lookup(CLIENT).known
    if online_store == "redis":
        redis = request.getfixturevalue("redis")
        assert CLIENT.encode() in in_redis(redis)

    removed = forget(home, [CLIENT])

    assert places(home, *SECRETS) == set()
    if online_store == "redis":
        assert CLIENT.encode() not in in_redis(redis)
    assert vectors[0].tobytes() not in cache.read_bytes()
    with EmbeddingCache(cache) as embeddings:
        assert [*embeddings.read(of)] == [of[1]]
    assert removed.rows == {"product_buy": 2, "page_visit": 2, "search_query": 1, "quarantine": 2}
    # Everybody else is served and joined as before.
    store = ProfileStore(home)
    assert not store.lookup(CLIENT).known
    after = np.stack([found.vector for found in store.lookup_many(others)])
    assert after.tobytes() == before.tobytes()
    rows = pd.DataFrame({"client_id": [CLIENT, "c001"], "event_timestamp": day("2022-08-01")})
    assert store.training_set(rows).known.tolist() == [False, True]
    assert [finding.problem for finding in examine(home) if "disk" not in finding.problem] == []
    assert store.publication().clients == len(others) == status(home)["served"]["clients"]
    encode(home, [LATER])
    publish(home)
    assert places(home, *SECRETS) == set()


@pytest.mark.parametrize("place", ["Warehouse.rewrite", "DataDocs.remove_examples", "OnlineStore"])
def test_an_interrupted_run_is_finished_by_the_next_one(
    home: Home, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home)
    kind, _, method = place.partition(".")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(getattr(pipeline, kind), method or "remove_clients", cut)
        forget(home, [CLIENT])
    assert status(home)["next"] == "ubp forget"
    assert any("`ubp forget` finishes" in finding.problem for finding in examine(home))
    removed = forget(home)
    assert (removed.resumed, removed.clients, removed.rows["product_buy"]) == (True, 1, 2)
    assert places(home, *SECRETS) == set()
    assert len(Forgotten.read(home).log) == 1
    with pytest.raises(UBPError, match="nobody is named: give ids of clients, or --file FILE"):
        forget(home)


def test_the_log_counts_and_names_nobody(home: Home) -> None:
    """The client's first event is of 10 June; the fit is of 1 July."""
    train(home, BLOCKS, day("2022-06-10"))
    forget(home, ["c001", CLIENT])
    forgotten = Forgotten.read(home)
    (entry,) = forgotten.log
    assert (entry.clients, str(entry.since)) == (2, "2022-06-01")
    assert entry.fits["handcrafted/v1"] == 2
    assert entry.fits["handcrafted/v2"] == 1
    forget(home, ["c002"])
    assert Forgotten.read(home).learned_by("handcrafted/v1") == 3
    blocks = {(one["name"], one["version"]): one for one in status(home)["blocks"]}
    assert blocks["handcrafted", "v1"]["forgotten"] == 3
    assert any(
        "from up to 3 clients who have been forgotten" in one for one in card(home, "v1").limits
    )
    assert not train(home, BLOCKS, FIT, refit_forgotten=4).fitted
    again = train(home, BLOCKS, FIT, refit_forgotten=3)
    assert [fit.name for fit in again.fitted] == BLOCKS
    assert again.profile.name not in ("v1", "v2")
    text = (home.root / "forgotten.json").read_text()
    assert not any(name in text for name in (CLIENT, "c001", "c002"))
    assert status(home)["forgotten"]["clients"] == 3


def test_rows_of_forgotten_clients_are_refused(home: Home, tmp_path: Path) -> None:
    forget(home, [CLIENT])
    again = delivered(tmp_path / "again", first="2022-06-12")
    more = pd.DataFrame([("c001", pd.Timestamp("2022-06-12"), "sku-002")])
    more.to_csv(again / "product_buy.csv", mode="a", header=False, index=False)
    done = ingest(home, str(again))
    assert [note for note in done.notes if "rows of forgotten clients were refused: 7" in note]
    assert {file.table: file.landed for file in done.files if file.landed} == {"product_buy": 1}
    assert sum(file.quarantined for file in done.files) == 0
    assert places(home, *SECRETS) == set()
    (tmp_path / "listed.csv").write_text(f"client_id\nc001\n{CLIENT}\n")
    with pytest.warns(UserWarning, match="who have been forgotten are left out: 1"):
        relevant_clients(home, tmp_path / "listed.csv")
    assert places(home, CLIENT) == set()
    # Also where the warehouse was lost and everything is delivered again.
    home.warehouse.unlink()
    ingest(home, str(again))
    assert places(home, *SECRETS) == set()


def test_products_that_a_layout_made_of_the_clients_rows_go_too(tmp_path: Path) -> None:
    """A log whose rows have prices; the client alone looks at one product, and buys it."""
    rows = [
        ("2022-06-01 10:00:00 UTC", kind, sku, 9.5, user)
        for kind, sku, user in (
            ("view", 1, 7000001),
            ("purchase", 1, 7000001),
            ("view", 5550001, 8880001),
            ("purchase", 5550001, 8880001),
            ("view", 1, 8880001),
            ("purchase", 1, 7000002),
        )
    ]
    log = pd.DataFrame(rows, columns=["event_time", "event_type", "product_id", "price", "user_id"])
    log["event_time"] = [f"2022-06-01 10:00:0{second} UTC" for second in range(len(log))]
    log = log.assign(category_id=1, category_code="oak", brand="b", user_session="s")
    (tmp_path / "log").mkdir()
    log.to_csv(tmp_path / "log" / "2022-Jun.csv", index=False)
    home = Home(tmp_path / "home")
    for _ in range(2):
        ingest(home, str(tmp_path / "log"), layout="rees46")
        forget(home, ["8880001"])
        with Warehouse(home.warehouse) as warehouse:
            skus = warehouse.connection.sql("SELECT sku FROM product_properties").fetchall()
        assert skus == [(1,)]
        assert not {place for place in places(home, "8880001", "5550001") if "table" in place}
        home.warehouse.unlink()


def test_a_client_may_be_allowed_to_return(home: Home, tmp_path: Path) -> None:
    forget(home, [CLIENT])
    forget(home, [CLIENT], allow_return=True)
    ingest(home, str(delivered(tmp_path / "again", first="2022-06-12")))
    with Warehouse(home.warehouse) as warehouse:
        bought = warehouse.connection.sql(
            "SELECT count(*) FROM product_buy JOIN client_id_key ON key = client_id "
            f"WHERE id = '{CLIENT}'"
        ).fetchall()
    assert bought == [(2,)]


def test_numbers_are_forgotten_too(tmp_path: Path) -> None:
    client = 0x5AFE_C0DE_1234_5678
    home = Home(tmp_path / "home")
    ingest(home, str(delivered(tmp_path / "delivery", client)))
    train(home, BLOCKS, FIT)
    publish(home)
    number = struct.pack("<q", client)
    assert sum(number in content for content in contents(home).values()) > 3
    forget(home, [str(client)])
    assert {name for name, content in contents(home).items() if number in content} == set()
    assert places(home, str(client), *SECRETS[1:]) == set()
    with pytest.raises(UBPError, match="this shop's client_id is a whole number of 64 bits"):
        forget(home, ["C17"])


def test_a_backup_brings_nobody_back(home: Home, tmp_path: Path) -> None:
    shutil.copy(home.warehouse, tmp_path / "backup.duckdb")
    forget(home, [CLIENT, "c001"])
    shutil.copy(tmp_path / "backup.duckdb", home.warehouse)
    assert any("backup maybe: 2; `ubp forget`" in finding.problem for finding in examine(home))
    again = forget(home)
    assert (again.asked, again.clients, again.rows["quarantine"]) == (2, 0, 2)  # counted before
    assert Forgotten.read(home).learned_by("handcrafted/v1") == 2
    assert places(home, *SECRETS) == set()


def test_what_a_list_of_clients_identifies_stays(home: Home, tmp_path: Path) -> None:
    (tmp_path / "listed.csv").write_text(f"client_id\nc001\nc002\n{CLIENT}\n")
    relevant_clients(home, tmp_path / "listed.csv")
    with Warehouse(home.warehouse) as warehouse:
        before = warehouse.identity(LATER)
    forget(home, file=tmp_path / "listed.csv", client_ids=["c003"])
    with Warehouse(home.warehouse) as warehouse:
        assert warehouse.identity(LATER) == before
        assert warehouse.relevant is not None
        assert len(warehouse.relevant) == 0


def test_afterwards_a_refresh_and_an_audit_go_on(home: Home, tmp_path: Path) -> None:
    publish(home)
    forget(home, [CLIENT])
    skipped = audit(home, clients=10)
    assert (skipped.computed, skipped.differences) == (0, [])
    assert "clients have been forgotten since" in skipped.skipped[0]
    more = pd.DataFrame(
        {"client_id": ["c001"], "timestamp": ["2022-07-10 01:00"], "sku": ["sku-002"]}
    )
    (tmp_path / "more").mkdir()
    more.to_csv(tmp_path / "more" / "product_buy.csv", index=False)
    ingest(home, str(tmp_path / "more"))
    done = refresh(home, cutoff=LATER + timedelta(hours=3))
    assert 0 < done.clients < 20
    publish(home)
    checked = audit(home, clients=50)
    assert (checked.computed, checked.differences) == (done.clients, [])


def test_a_damaged_file_is_named_and_the_rest_is_removed(home: Home) -> None:
    path = home.profiles / "v1" / f"{LATER:%Y%m%dT%H%M%SZ}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"x" + whole[201:])
    with pytest.raises(DamagedFile, match=rf"{path.name} is damaged: .*; then `ubp forget` finis"):
        forget(home, [CLIENT])
    assert {place.partition(":")[0] for place in places(home, CLIENT)} == {
        path.name,
        "forgetting.json",
    }
    path.write_bytes(whole)
    forget(home)
    assert places(home, *SECRETS) == set()


def small(directory: Path, text: str, table: str = "product_buy") -> str:
    """Write one file, with `client_id,timestamp,sku` above the lines."""
    directory.mkdir()
    (directory / f"{table}.csv").write_text(f"client_id,timestamp,sku\n{text}")
    return str(directory)


def bought(home: Home) -> list[tuple[str, int]]:
    with Warehouse(home.warehouse) as warehouse:
        return warehouse.connection.sql(
            "SELECT id, count(*) FROM product_buy JOIN client_id_key ON key = client_id "
            "GROUP BY id ORDER BY id"
        ).fetchall()


def quarantined(home: Home) -> str:
    with Warehouse(home.warehouse) as warehouse:
        rows = warehouse.connection.sql("SELECT original::VARCHAR FROM quarantine").fetchall()
    return str(rows)


LINES = "a1,2022-06-01 10:00,s1\na2,2022-06-02 10:00,s2\n"


def test_a_run_that_goes_on_in_another_warehouse_takes_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys begin anew when the only batch is reverted."""
    home = Home(tmp_path / "home")
    ingest(home, small(tmp_path / "a", LINES))

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "_carry_out", cut)
        forget(home, ["a1"])
    cache = home.scratch / "lm" / "model.sqlite"
    with EmbeddingCache(cache) as embeddings:
        embeddings.write([text_key("one")], [0], np.ones((1, 3), np.float32))
    revert(home, 1)
    assert not cache.exists()  # it names clients by keys
    ingest(home, small(tmp_path / "b", LINES.replace("a", "b")))
    forget(home)
    assert bought(home) == [("b1", 1), ("b2", 1)]


def test_the_catalogue_of_the_shop_stays(tmp_path: Path) -> None:
    """Times at midnight, as those of the catalogue."""
    home = Home(tmp_path / "home")
    source = small(tmp_path / "in", "a1,2022-06-01,s1\na2,2022-06-02,s2\n")
    catalogue = "sku,category,price,name,valid_from\n"
    catalogue += "".join(f"s{number},c,9.5,oak,2022-06-01\n" for number in range(5))
    (tmp_path / "in" / "product_properties.csv").write_text(catalogue)
    ingest(home, source)
    forget(home, ["a2"])
    with Warehouse(home.warehouse) as warehouse:
        assert warehouse.span("product_properties").rows == 5
    other = Home(tmp_path / "other")
    other.prepare()
    Forgotten.read(home).write(other)
    ingest(other, source)
    with Warehouse(other.warehouse) as warehouse:
        assert warehouse.span("product_properties").rows == 5


def test_quarantined_rows_of_others_stay(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    bad = "".join(f"{one},bad,{sku}\n" for one, sku in [("17", "s1"), ("0017", "s2"), ("b", "17")])
    lines = "Jane Doe,2022-06-01,s1,extra1\nMary Jane Doering,2022-06-01,s1,extra2\n"
    more = "x1,bad,O'Brien\nx2,bad,O'Briens\n"
    ingest(home, small(tmp_path / "a", LINES + bad + lines + more), max_quarantine=1)
    forget(home, ["17", "Jane Doe", "O'Brien"])
    left = quarantined(home)
    assert all(one in left for one in ("0017", '"b"', "extra2", "Briens"))
    assert not any(one in left for one in ('"17","timestamp":"bad","sku":"s1"', "extra1", "x1"))
    # Nor do they come back.
    again = LINES + "x3,bad,O'Brien\nJane Doe,2022-06-03,s1,extra1\nx4,bad,s9\n"
    done = ingest(home, small(tmp_path / "b", again), max_quarantine=1)
    assert [file.quarantined for file in done.files] == [1]
    assert "x4" in quarantined(home)
    assert "x3" not in quarantined(home)


def test_whole_numbers_in_quarantine_are_compared_as_they_are(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    good = "1,2022-06-01,1\n9007199254740992,2022-06-01,1\n"
    bad = "9007199254740993,bad,1\n9007199254740992,bad,2\n1000.4,bad,3\n0001000.0,bad,4\n"
    ingest(home, small(tmp_path / "a", good))
    ingest(home, small(tmp_path / "b", "2,2022-06-01,1\n" + bad), max_quarantine=1)
    forget(home, ["9007199254740992", "1000"])
    with Warehouse(home.warehouse) as warehouse:
        found = warehouse.connection.sql("SELECT original ->> 'sku' FROM quarantine ORDER BY ALL")
        assert found.fetchall() == [("1",), ("3",)]


def test_histories_that_end_at_a_midnight_keep_their_identity(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ingest(home, small(tmp_path / "a", LINES))
    ingest(home, small(tmp_path / "b", "c1,2022-06-03 07:00:01,s1\nc2,2022-06-09 12:00,s1\n"))
    cutoffs = [day(f"2022-06-{number:02}") for number in range(1, 12)]
    with Warehouse(home.warehouse) as warehouse:
        before = [warehouse.identity(cutoff) for cutoff in cutoffs]
    forget(home, ["c1", "a2"])
    with Warehouse(home.warehouse) as warehouse:
        assert [warehouse.identity(cutoff) for cutoff in cutoffs] == before
        times = warehouse.connection.sql("SELECT first_event FROM batch_file").fetchall()
    assert "7, 0, 1" not in str(times)
    # What others named keeps its key.
    ingest(home, small(tmp_path / "c", "d1,2022-06-10 12:00,s1\n"))
    assert bought(home) == [("a1", 1), ("c2", 1), ("d1", 1)]


def test_a_client_without_events_is_forgotten_too(home: Home) -> None:
    """Such as after the warehouse was lost, or the batch reverted."""
    publish(home)
    home.warehouse.unlink()
    removed = forget(home, [CLIENT])
    assert removed.snapshots > 0
    assert not ProfileStore(home).lookup(CLIENT).known
    assert not any(CLIENT.encode() in path.read_bytes() for path in home.root.rglob("*.parquet"))
    assert CLIENT.encode() not in (home.feast / "online.db").read_bytes()


def test_a_first_publish_that_was_cut_off_is_searched(
    home: Home, online_store: str, request: pytest.FixtureRequest
) -> None:
    publish(home)
    (home.feast / "served.json").unlink()
    (home.feast / "registry.db").unlink()
    forget(home, [CLIENT])
    if online_store == "redis":
        assert CLIENT.encode() not in in_redis(request.getfixturevalue("redis"))
    else:
        assert CLIENT.encode() not in (home.feast / "online.db").read_bytes()


def test_a_reader_of_sqlite_that_holds_on_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home)
    monkeypatch.setattr("ubp_platform.store.online._SECONDS_FOR_READERS", 0.1)
    with closing(sqlite3.connect(home.feast / "online.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with pytest.raises(UBPError, match=r"online.db"):
            forget(home, [CLIENT])
    forget(home)
    assert places(home, *SECRETS) == set()


def test_what_stops_one_request_loses_no_other(home: Home) -> None:
    path = home.profiles / "v1" / f"{LATER:%Y%m%dT%H%M%SZ}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"x" + whole[201:])
    for client in (CLIENT, "c001"):
        with pytest.raises(DamagedFile):
            forget(home, [client])
    assert len(Forgotten.read(home).refused) == 2
    assert places(home, "velociraptor") == set()
    path.write_bytes(whole)
    assert forget(home).clients == 2
    assert places(home, *SECRETS) == set()


def test_links_groups_and_spilled_files(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk" / "warehouse.duckdb"
    elsewhere.parent.mkdir()
    home.warehouse.rename(elsewhere)
    home.warehouse.symlink_to(elsewhere)
    elsewhere.chmod(0o660)
    spilled = elsewhere.with_name("warehouse.duckdb.tmp")
    spilled.mkdir()
    (spilled / "duckdb_temp_storage_DEFAULT-0.tmp").write_text(CLIENT)
    forget(home, [CLIENT])
    assert home.warehouse.is_symlink()
    assert CLIENT.encode() not in elsewhere.read_bytes()
    assert elsewhere.stat().st_mode & 0o777 == 0o660
    assert not spilled.exists()


def test_the_command(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ("--home", str(home.root))
    done = run_ubp(capsys, "forget", CLIENT, " c999", *where)
    assert "Of 1 nothing was found: ' c999'; their rows are refused from now on" in done.out
    again = run_ubp(capsys, "forget", CLIENT, *where)
    assert "0 with events, of 1 named, 1 of them forgotten before" in again.out
    allowed = run_ubp(capsys, "forget", "--allow-return", CLIENT, *where)
    assert "Deliveries of all who were named are taken in from now on" in allowed.out
    assert "refused" not in allowed.out
    assert (done.code, done.err) == (0, "")
    assert "Clients forgotten: 1 with events, of 2 named" in done.out
    assert "Fits keep what they learned of everybody, these clients included: " in done.out
    assert "Forgotten 1 client" in run_ubp(capsys, "status", *where).out
    for wrong, message in {
        (): "nobody is named",
        ("--file", str(tmp_path / "no.csv")): "no such file",
        ("",): "an id is empty: is a variable of the shell not set?",
        ("a\udcff",): "has characters that cannot be printed",
    }.items():
        failed = run_ubp(capsys, "forget", *wrong, *where)
        assert (failed.code, len(failed.err.splitlines())) == (2, 1)
        assert message in failed.err
    missing = run_ubp(capsys, "forget", "c001", "--home", tmp_path / "nowhere")
    assert (missing.code, "there is no home" in missing.err) == (2, True)
