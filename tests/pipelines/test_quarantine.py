"""``ubp quarantine`` lists rows that broke a rule, and deletes them once they are corrected."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.landed import rows
from ubp_platform.home import Home


@pytest.fixture
def delivered(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Two batches, with two bad rows and one."""
    monkeypatch.setenv("UBP_HOME", str(home.root))
    first, second = purchases(), purchases(sku=8)
    first.loc[[3, 50], "timestamp"] = pd.Timestamp("1970-01-01")
    second.loc[7, "timestamp"] = pd.Timestamp("2199-01-01")
    ingest(home, str(deliver(tmp_path / "first", ".csv", product_buy=first)))
    ingest(home, str(deliver(tmp_path / "second", ".csv", product_buy=second)))
    return home


def test_it_shows_the_origin_of_rows_and_their_broken_rules(
    delivered: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(run_ubp(capsys, "quarantine").out.split())
    assert "Quarantine, 3 of 3 rows" in said
    assert "2 product_buy product_buy.csv 8 timestamp is not in the future" in said
    assert "ubp quarantine --clear" in said
    assert "Quarantine, 1 of 3 rows" in run_ubp(capsys, "quarantine", "--rows", 1).out
    found = json.loads(run_ubp(capsys, "quarantine", "--batch", 1, "--json").out)
    assert [(row["batch"], row["row"]) for row in found] == [(1, 4), (1, 51)]
    assert found[0]["rule"] == "timestamp is not before 1995"
    assert json.loads(found[0]["original"])["client_id"] == "3"


def test_corrected_rows_are_deleted(delivered: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_ubp(capsys, "quarantine", "--clear", "--batch", 1).out.startswith("2 rows are no")
    assert rows(delivered, "SELECT batch_id FROM quarantine") == [(2,)]
    assert run_ubp(capsys, "quarantine", "--clear").out.startswith("1 rows are no")
    assert run_ubp(capsys, "quarantine").out == "Nothing is in quarantine\n"
    assert json.loads(run_ubp(capsys, "status", "--json").out)["quarantine"] == []
    # The ledger still counts them.
    assert rows(delivered, "SELECT sum(rows_quarantined)::INT FROM batch_file") == [(3,)]


@pytest.mark.parametrize("arguments", [["--batch", 7], ["--batch", 7, "--clear"]])
def test_an_unknown_batch_is_refused(
    delivered: Home, capsys: pytest.CaptureFixture[str], arguments: list[object]
) -> None:
    outcome = run_ubp(capsys, "quarantine", *arguments)
    assert (outcome.code, outcome.err) == (2, "error: there is no batch 7; there are: 1, 2\n")


def test_without_a_warehouse_none_is_created(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_HOME", str(home.root))
    for arguments in ([], ["--clear"]):
        assert "no warehouse at" in run_ubp(capsys, "quarantine", *arguments).err
    assert not home.warehouse.exists()
