"""The simulated shop of the demo."""

import pytest

from pipelines import demo
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, purchases
from ubp_platform.events.schema import TABLES
from ubp_platform.home import Home
from ubp_platform.progress import logged


def test_a_log_that_was_left_half_written_is_written_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CLIENTS", 20)
    directory = home.root / "simulated"
    directory.mkdir(parents=True)
    (directory / "product_buy.parquet").write_bytes(b"PAR1")
    demo._simulate(directory, logged)
    written = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert written.keys() == {f"{table}.parquet" for table in TABLES}
    demo._simulate(directory, logged)
    assert written == {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}


def test_another_shops_home_is_refused_before_anything_is_written(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery = deliver(home.root.parent / "delivery", product_buy=purchases())
    run_ubp(capsys, "ingest", delivery, "--home", home.root)
    before = sorted(home.root.rglob("*"))
    for options in ([], ["--simulated"]):
        outcome = run_ubp(capsys, "demo", *options, "--home", home.root)
        assert outcome.code == 2
        assert "holds the events of another shop, from" in outcome.err
    assert sorted(home.root.rglob("*")) == before
