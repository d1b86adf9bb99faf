"""Every mistake of a user is reported in one line with the way out, and exit code 2."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

import cli
from tests.pipelines.commands import Outcome, run_ubp
from tests.pipelines.deliveries import as_text, deliver, deliver_shop, purchases, queries

Ubp = Callable[..., Outcome]


@pytest.fixture
def ubp(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ubp:
    monkeypatch.setenv("UBP_HOME", str(tmp_path / "home"))
    return lambda *arguments: run_ubp(capsys, *arguments)


def truncated(directory: Path) -> None:
    path = deliver(directory, product_buy=purchases()) / "product_buy.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def write(name: str, text: str) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        directory.mkdir()
        (directory / name).write_text(text)

    return make


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such path": (lambda directory: None, "no such path: .*delivery"),
    "no known file": (write("notes.txt", "x"), "no known layout fits the files in .*notes.txt"),
    "truncated Parquet": (truncated, "product_buy.parquet: not a readable parquet file"),
    "text called .parquet": (
        write("product_buy.parquet", "client_id,timestamp,sku\n1,2022-06-01 10:00:00,3\n"),
        "product_buy.parquet: not a readable parquet file",
    ),
    "wrong delimiter": (
        write("product_buy.csv", "client_id;timestamp;sku\n1;2022-06-01 10:00:00;3\n"),
        "missing column client_id, timestamp, sku; .*separated by commas",
    ),
    "open quote in a short file": (
        write(
            "search_query.csv", 'client_id,timestamp,query\n1,2022-06-01,"[1\n2,2022-06-01,[1]\n'
        ),
        "search_query.csv: not a readable csv file: .* or a quote is not closed",
    ),
    "empty file": (write("product_buy.csv", ""), "product_buy.csv: the file is empty"),
    "missing column": (
        lambda d: deliver(d, product_buy=purchases().drop(columns="sku")),
        "product_buy.parquet: missing column sku; its columns are 'client_id', 'timestamp'",
    ),
    "an id that is a truth value": (
        lambda d: deliver(d, product_buy=purchases(client_id=True)),
        "client_id is of type BOOLEAN throughout; a whole number is expected",
    ),
    "15 codes": (
        lambda d: (d.mkdir(), queries([as_text(range(15))] * 9).to_csv(d / "search_query.csv")),
        r"9 of 9 rows \(100\.0%\) break a rule.*query has exactly 16 codes",
    ),
    "the same table twice": (
        lambda d: (
            deliver(d, product_buy=purchases()),
            deliver(d, ".csv", product_buy=purchases()),
        ),
        "product_buy twice",
    ),
}


@pytest.mark.parametrize(("make", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_deliveries(
    ubp: Ubp, tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "delivery")
    outcome = ubp("ingest", tmp_path / "delivery")
    assert_one_line(outcome, message)
    assert json.loads(ubp("status", "--json").out)["warehouse"] in (None, EMPTY)


class _Empty:
    """Equal to a warehouse without rows."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and not other["batches"] and not other["clients"]

    __hash__ = None  # type: ignore[assignment]


EMPTY = _Empty()


def assert_one_line(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2, outcome
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("error: ")
    assert pd.Series(lines).str.contains(message).all(), lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "no warehouse at .*: run `ubp ingest SOURCE` first"),
        (["encode"], "there is no home at .*: `ubp ingest SOURCE` creates one"),
        (["publish"], "there is no home at .*: `ubp ingest SOURCE` creates one"),
        (["profile", "1"], "there is no home at .*: `ubp ingest SOURCE` creates one"),
        (["training-set", "nowhere.parquet", "out.parquet"], "no such file: nowhere.parquet"),
        (["train", "gru"], "no block is called 'gru'; there are .*handcrafted"),
        (
            ["train", "--preset", "huge"],
            "ubp train: Invalid value for '--preset': 'huge' is not one of 'small', 'paper'; see",
        ),
        (["train", "--cutoff", ""], "not a time: ''; write it like 2017-12-18"),
        (["train", "--cutoff", "yesterday"], "not a time: 'yesterday'; write it like 2017-12-18"),
        (
            ["ingest", ".", "--layout", "kaggle"],
            "there is no layout 'kaggle'; choose one of",
        ),
        (["ingest", ".", "--dry-run", "--replace", "1"], "--dry-run lands nothing"),
        (["profile", "-1"], "No such option: -1; write -- before a negative number"),
        (["ingest", ".", "--max-quarantine", "7"], "a share between 0 and 1, not 7"),
    ],
)
def test_commands_out_of_order_and_mistyped(ubp: Ubp, arguments: list[str], message: str) -> None:
    assert_one_line(ubp(*arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "shop", "--scale", "abc"], "ubp simulate: .*'--scale'.*number, not 'abc'"),
        (["simulate", "shop", "--days", "0"], "'--days'.*greater than or equal to 1, not '0'"),
        (["ingest"], "ubp ingest: Missing argument '.*'; see ubp ingest --help$"),
        (["status", "--home", ""], "'--home'.*a directory is expected, not an empty string"),
        (["status", "here"], r"ubp status: .*extra argument.*\(here\); see ubp status --help$"),
        (["train", "--x"], "ubp train: No such option: --x; see ubp train --help$"),
        (["train", "--seed"], "ubp train: .*'--seed' requires an argument; see ubp train --help$"),
        (["--x"], "ubp: No such option: --x; see ubp --help$"),
        (["xyz"], "ubp: No such command 'xyz'; see ubp --help$"),
        (["profil", "1"], "ubp: No such command 'profil'. Did you mean 'profile'. See ubp --help$"),
    ],
)
def test_usage_errors(ubp: Ubp, arguments: list[str], message: str) -> None:
    outcome = ubp(*arguments)
    assert_one_line(outcome, message)
    assert not outcome.out


def test_ubp_alone_shows_the_help(ubp: Ubp) -> None:
    outcome = ubp()
    assert outcome.err == ""
    assert outcome.out.strip() == ubp("--help").out.strip()


def test_every_command_has_help(ubp: Ubp) -> None:
    for command in [*(c.name or c.callback.__name__ for c in cli.app.registered_commands)]:
        outcome = ubp(command, "--help")
        assert outcome.code == 0
        assert "Usage" in outcome.out


def test_internal_errors_are_one_line_unless_debug(
    ubp: Ubp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*arguments: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("pipelines.status.status", fault)
    outcome = ubp("status")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "unexpected ZeroDivisionError: by zero" in outcome.err
    assert "Traceback" in ubp("--debug", "status").err
    assert "Traceback" in ubp("status", "--debug").err


def test_the_version_is_that_of_the_package(ubp: Ubp) -> None:
    assert ubp("--version").out == f"ubp {version('ubp-platform')}\n"


def test_ingest_reports_the_outcome_of_each_file(ubp: Ubp, tmp_path: Path) -> None:
    delivery = deliver_shop(tmp_path / "delivery", events=100)
    outcome = ubp("ingest", delivery)
    assert outcome.code == 0
    assert "page_visit " in outcome.out
    assert "Next ubp train\n" in outcome.out
    assert "Nothing new: all of it landed before, in batch 1\n" in ubp("ingest", delivery).out
    deliver(delivery, product_buy=purchases())
    again = ubp("ingest", delivery).out
    assert "page_visit.parquet: landed before, in batch 1; skipped" in again
    assert "product_buy.parquet: landed" not in again


def test_a_dry_run_shows_what_would_land_and_lands_nothing(ubp: Ubp, tmp_path: Path) -> None:
    bad = purchases().astype(object)
    bad.loc[3, "sku"] = "5.12E+08"
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=bad)
    outcome = ubp("ingest", delivery, "--dry-run")
    assert outcome.code == 0
    for said in (
        "recognised the layout 'challenge'",
        "product_buy: 100 rows staged",
        "2022-06-01 09:00:00",
        "quarantined: 1 against the rule 'sku is present and a whole number",
        '"sku":"5.12E+08"',
        "Nothing was landed",
    ):
        assert said in outcome.out, outcome.out
    assert json.loads(ubp("status", "--json").out)["warehouse"] is None
    deliver(tmp_path / "delivery", ".csv", product_buy=purchases(timestamp="x"))
    outcome = ubp("ingest", delivery, "--dry-run")
    assert outcome.code == 2
    assert "no row obeys the rule 'timestamp is present" in outcome.out.replace("\n", " ")
    assert "the batch would be rejected" in outcome.out


def test_a_dry_run_knows_the_times_of_the_delivery(ubp: Ubp, tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=purchases())
    outcome = ubp("ingest", delivery, "--dry-run", "--complete-until", "2022-06-02")
    assert "The log would be complete until 2022-06-02" in outcome.out
    for option, time, message in (
        ("--delivered-at", "2022-06-01", "is not after the delivery's last event"),
        ("--delivered-at", "2999-01-01", "is in the future"),
        ("--complete-until", "2999-01-01", "is after the delivery"),
    ):
        assert_one_line(ubp("ingest", delivery, "--dry-run", option, time), message)


def test_layouts_are_listed(ubp: Ubp) -> None:
    assert "rees46" in ubp("layouts").out


def test_status_of_an_empty_home(ubp: Ubp) -> None:
    status = json.loads(ubp("status", "--json").out)
    assert status["warehouse"] is None
    assert status["next"] == "ubp ingest SOURCE"
    assert "ubp ingest SOURCE" in ubp("status").out


def test_an_impossible_home_is_refused(ubp: Ubp, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    delivery = deliver(tmp_path / "delivery", product_buy=purchases())
    assert_one_line(ubp("ingest", delivery, "--home", tmp_path / "file"), "file")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "warehouse.duckdb").write_text("not a database")
    assert_one_line(
        ubp("ingest", delivery),
        "warehouse.duckdb is damaged .*: restore it from a ba",
    )


def test_steps_are_logged_with_times_where_there_is_no_terminal(ubp: Ubp, tmp_path: Path) -> None:
    found = ubp("ingest", deliver(tmp_path / "delivery", product_buy=purchases()))
    assert any("INFO land product_buy: done, " in line for line in found.log), found.log
    assert "✓" not in found.err + found.out


def test_json_lines_hold_steps_warnings_and_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = deliver(tmp_path / "delivery", product_buy=purchases())
    place = ("--home", tmp_path / "home", "--log-json")
    steps = [
        json.loads(line) for line in run_ubp(capsys, "ingest", source, *place).err.splitlines()
    ]
    landed = next(step for step in steps if step.get("step") == "land product_buy")
    assert (landed["level"], landed["state"], landed["amount"]) == (
        "info",
        "done",
        len(purchases()),
    )
    assert landed["seconds"] >= 0
    assert landed["time"].endswith("Z")
    (error,) = run_ubp(capsys, "publish", *place).err.splitlines()
    assert json.loads(error)["level"] == "error"
