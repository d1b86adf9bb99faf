"""Inputs that once did silent damage, or were refused with a misleading reason."""

import re
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from rich.console import Console

from pipelines.console.status import status_tables
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.retrieve import training_set
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.deliveries import deliver, layout, purchases
from tests.pipelines.job import FIT
from tests.pipelines.landed import landed, rows
from tests.shops import random_shop
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.home import Home


@pytest.fixture
def served(home: Home, tmp_path: Path) -> Home:
    ingest(home, str(deliver(tmp_path / "delivery", **random_shop(clients=30, events=300))))
    train(home, ["counters"], FIT)
    publish(home)
    return home


def test_coarse_times_are_reported_if_repeats_are_ambiguous(home: Home, tmp_path: Path) -> None:
    days = purchases(50, timestamp=pd.Timestamp("2022-06-01"))
    ingest(home, str(deliver(tmp_path / "first", product_buy=days)))
    more = pd.concat([days, days.head(1).assign(sku=99)])
    result = ingest(home, str(deliver(tmp_path / "second", product_buy=more)))
    assert landed(result) == (1, 50, 0)
    assert any("times of product_buy are full hours or days: 50" in n for n in result.notes)


def test_local_times_of_another_zone_are_suspected(home: Home, tmp_path: Path) -> None:
    now = pd.Timestamp.now("UTC").tz_localize(None).floor("s")
    times = [now + pd.Timedelta(f"{hours}h") for hours in range(-50, 11)]
    frame = purchases(len(times), timestamp=times)
    with pytest.raises(
        BatchRejected, match=r"in the future.*read as UTC: are they in another zone"
    ):
        ingest(home, str(deliver(tmp_path / "delivery", product_buy=frame)))


def test_nothing_of_a_delivery_stays_behind_in_the_warehouse(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "good", product_buy=purchases())))
    with pytest.raises(BatchRejected):
        bad = purchases(timestamp=pd.Timestamp("1970-01-01"))
        ingest(home, str(deliver(tmp_path / "bad", product_buy=bad)))
    copy = tmp_path / "copy"
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        assert connection.sql("FROM duckdb_views() WHERE NOT internal").fetchall() == []
        connection.execute(f"EXPORT DATABASE '{copy}'")
    with duckdb.connect() as connection:
        connection.execute(f"IMPORT DATABASE '{copy}'")
        assert connection.sql("SELECT count(*) FROM product_buy").fetchall() == [(100,)]


def test_entities_and_outputs_must_be_parquet(served: Home, tmp_path: Path) -> None:
    frame = pd.DataFrame({"client_id": [1], "event_timestamp": [FIT]})
    frame.to_csv(tmp_path / "entities.csv", index=False)
    frame.to_parquet(tmp_path / "entities.parquet")
    with pytest.raises(UBPError, match=r"entities\.csv is not a Parquet file: entities must be"):
        training_set(served, tmp_path / "entities.csv", tmp_path / "out.parquet")
    with pytest.raises(UBPError, match=r"out\.csv: the output is Parquet: name a file that"):
        training_set(served, tmp_path / "entities.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_block_that_was_fitted_and_not_encoded_has_no_width_yet(served: Home) -> None:
    for snapshot in Catalog(served).snapshots("counters", "v1"):
        snapshot.path.unlink()
    console = Console(width=100)
    with console.capture() as shown:
        console.print(status_tables(status(served)))
    assert "None" not in shown.get()
    assert "counters" in shown.get()


BUYS = (
    "SELECT who AS client_id, seen AS timestamp, what AS sku, paid AS price, _file, _row FROM rows"
)


def journal(directory: Path, **files: str | bytes) -> str:
    """Write files of a log, with their headers."""
    directory.mkdir()
    for name, text in files.items():
        written = text if isinstance(text, bytes) else text.encode()
        (directory / f"{name}.csv").write_bytes(written)
    return str(directory)


def mine(tmp_path: Path, query: str = BUYS, **settings: str) -> str:
    """Write a layout for it; settings are the relation's."""
    name = layout(tmp_path / "mine", product_buy=query)
    described = Path(name) / "layout.toml"
    lines = [described.read_text(), 'columns = ["who", "seen"]']
    described.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in settings.items())]))
    return name


GOOD = "who,seen,what,paid\n" + "".join(f"a{n},2022-06-01 10:00:0{n},x,1.50\n" for n in range(9))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("a,b\n1,2\n", r"other\.csv: missing column who, seen; its columns are 'a', 'b'.*`files`"),
        (GOOD.replace("who", "customer"), r"other\.csv: missing column who; its columns are"),
        (
            GOOD.replace(",", ";"),
            r"other\.csv: missing column who, seen.*if ',' does not separate",
        ),
    ],
)
def test_each_file_of_a_log_has_the_columns_of_the_layout(
    home: Home, tmp_path: Path, other: str, said: str
) -> None:
    source = journal(tmp_path / "logs", good=GOOD, other=other)
    with pytest.raises(BatchRejected, match=said):
        ingest(home, source, mine(tmp_path))


def test_a_column_that_only_some_files_have_is_reported(home: Home, tmp_path: Path) -> None:
    other = GOOD.replace("paid", "paid_eur").replace("10:00", "11:00")
    source = journal(tmp_path / "logs", good=GOOD, other=other)
    notes = ingest(home, source, mine(tmp_path)).notes
    assert (
        "the column 'paid', which other files have, is missing in other.csv: it is read as empty"
        in notes
    )


def test_dropped_rows_are_reported(home: Home, tmp_path: Path) -> None:
    source = journal(tmp_path / "logs", good=GOOD)
    notes = ingest(home, source, mine(tmp_path, f"{BUYS} WHERE who < 'a5'")).notes
    assert any("5 of 9 rows of rows became events; dropped.sql" in note for note in notes)


def test_other_encodings_are_named_and_read(home: Home, tmp_path: Path) -> None:
    text = GOOD.replace(",x,", ",Möbel,")
    source = journal(tmp_path / "logs", good=text.encode("latin-1"))
    with pytest.raises(BatchRejected, match=r'not UTF-8; .*`encoding = "latin-1"`'):
        ingest(home, source, mine(tmp_path))
    shutil.rmtree(tmp_path / "mine")
    ingest(home, source, mine(tmp_path, encoding='"latin-1"'))
    assert rows(home, "SELECT DISTINCT id FROM sku_key") == [("Möbel",)]


def test_a_value_that_the_sql_cannot_read_has_a_way_out(home: Home, tmp_path: Path) -> None:
    source = journal(tmp_path / "logs", good=GOOD.replace("2022-06-01", "31.02.2022", 1))
    query = BUYS.replace("seen AS", "strptime(seen, '%Y-%m-%d %H:%M:%S') AS")
    with pytest.raises(UBPError, match=r"mine/product_buy\.sql.*try_strptime instead of"):
        ingest(home, source, mine(tmp_path, query))


@pytest.mark.parametrize(
    ("good", "bad", "zone", "hint"),
    [
        ("1.50", "1\u20ac", "UTC", ""),
        ("1.50", '"1,50"', "UTC", "reads a decimal comma"),
        ("2022-06-01", "1.6.2022", "UTC", "try_strptime"),
        ("2022-06-01", "2022-06-01", "", "the layout has no `time_zone`"),
        ("2022-06-01 10:00:0", "165408000", "UTC", "from_seconds"),
    ],
)
def test_a_rule_that_no_row_obeys_comes_with_a_hint(
    home: Home, tmp_path: Path, good: str, bad: str, zone: str, hint: str
) -> None:
    source = journal(tmp_path / "logs", good=GOOD.replace(good, bad))
    name = mine(tmp_path)
    if not zone:
        described = Path(name) / "layout.toml"
        described.write_text(described.read_text().replace('time_zone = "UTC"', ""))
    with pytest.raises(BatchRejected, match=f"no row obeys the rule.*{re.escape(hint)}"):
        ingest(home, source, name)


def test_a_return_is_not_a_purchase(home: Home, tmp_path: Path) -> None:
    query = BUYS.replace("paid AS price", "paid AS price, pieces AS quantity")
    lines = ["who,seen,what,paid,pieces"]
    lines += [f"a{n % 7},2022-06-01 10:00:{n},x,1.50,1" for n in range(10, 60)]
    lines += ["b,2022-06-01 11:00:00,x,-1.50,1", "b,2022-06-01 11:00:01,x,1.50,0"]
    source = journal(tmp_path / "logs", good="\n".join(lines) + "\n")
    result = ingest(home, source, mine(tmp_path, query))
    assert landed(result) == (50, 0, 2)
    assert rows(home, "SELECT rule FROM quarantine ORDER BY row_number") == [
        ("price is not negative",),
        ("quantity is above 0",),
    ]
    assert any("'price is not negative'; `ubp quarantine` shows" in note for note in result.notes)


def test_rejected_lines_count_as_rows(home: Home, tmp_path: Path) -> None:
    lines = ["who,seen,what,paid"]
    lines += [f"a{n % 7},2022-06-01 10:{n // 60:02d}:{n % 60:02d},x,1.50" for n in range(100)]
    lines[10], lines[20], lines[40] = "short,2022-06-01", "also", "b,never,x,1.50"
    text = "\n".join(lines) + "\n"
    source = journal(tmp_path / "logs", one=text, two=text.replace("a0", "c0"))
    result = ingest(home, source, mine(tmp_path))
    assert result.files[0].quarantined == 6
    query = "SELECT file, row_number FROM quarantine ORDER BY ALL"
    assert rows(home, query) == [(f"{f}.csv", n) for f in ("one", "two") for n in (10, 20, 40)]


def test_kinds_do_not_depend_on_max_quarantine(home: Home, tmp_path: Path) -> None:
    source = journal(tmp_path / "logs", good=GOOD)
    ingest(home, source, mine(tmp_path), max_quarantine=1.0)
    assert rows(home, "SELECT count(*) FROM client_id_key") == [(9,)]
