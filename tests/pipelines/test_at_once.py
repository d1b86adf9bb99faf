"""Several processes at work in one home: deliveries land during a fit; who waits says for whom."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.train import train
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.job import FIT, LATER
from tests.pipelines.landed import events, rows
from tests.processes import Other, die, exit_code, start, ubp
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.progress import Advance, ProgressFactory

NAMES = ["ials_categories", "handcrafted"]


def during(step: str, action: Callable[[], None]) -> ProgressFactory:
    """Make progress bars that do something once, in the first step of this name."""
    pending = [action]

    @contextmanager
    def progress(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        if step in description and pending:
            pending.pop()()
        yield lambda amount: None

    return progress


@pytest.fixture
def late(tables: dict[str, pd.DataFrame], tmp_path: Path) -> Path:
    """A delivery of events of a new client in between those that are known."""
    return deliver(tmp_path / "late", product_buy=tables["product_buy"].head(3).assign(client_id=7))


def made(home: Home) -> dict[str, bytes]:
    """All weights, and the vectors of all snapshots and profiles."""
    weights = {path: path.read_bytes() for path in home.blocks.rglob("*.safetensors")}
    places = (*home.snapshots.rglob("*.parquet"), *home.profiles.rglob("*.parquet"))
    vectors = {path: Snapshot.read(path).vectors.tobytes() for path in places}
    found = weights | vectors
    return {str(path.relative_to(home.root)): content for path, content in found.items()}


def test_a_delivery_lands_during_a_fit_that_does_not_see_it(
    landed_home: Home, late: Path, tmp_path: Path
) -> None:
    home, before = landed_home, len(events(landed_home))
    alone = Home(home=shutil.copytree(home.root, tmp_path / "alone"))
    train(alone, NAMES)

    def deliver_late() -> None:
        assert exit_code(ingest, home, str(late)) == 0
        assert len(events(home)) == before + 3

    with pytest.warns(UserWarning, match="changed since this began.* run `ubp train` again"):
        train(home, NAMES, progress=during("ials_categories: fit", deliver_late))
    assert made(home) == made(alone)
    assert not list(home.scratch.iterdir())
    again = train(home, NAMES)
    assert [fit.name for fit in again.fitted] == NAMES
    assert made(home) != made(alone)


@pytest.mark.filterwarnings("error:.*since this began")
def test_a_delivery_of_later_events_is_nothing_to_warn_of(
    landed_home: Home, late: Path, tables: dict[str, pd.DataFrame]
) -> None:
    shifted = tables["product_buy"].head(3).assign(timestamp=pd.Timestamp("2022-12-01"))
    deliver(late, product_buy=shifted)
    progress = during("handcrafted: encode", lambda: ingest(landed_home, str(late)) and None)
    train(landed_home, NAMES, progress=progress)
    assert len(rows(landed_home, "SELECT * FROM batch")) == 2


def test_profiles_that_are_encoded_do_not_mix_two_logs(landed_home: Home, late: Path) -> None:
    train(landed_home, NAMES, FIT)
    progress = during("encode", lambda: ingest(landed_home, str(late)) and None)
    with pytest.warns(UserWarning, match="run `ubp encode` again"):
        _, (first, second) = encode(landed_home, [FIT, LATER], progress=progress)
    assert np.array_equal(*(Snapshot.read(one.path).client_ids for one in (first, second)))


def train_and_tell(home: Home, found: Path) -> None:
    trained = train(home, NAMES, FIT)
    found.write_text(json.dumps([[fit.name for fit in trained.fitted], trained.profile.name]))


def test_of_two_trains_the_second_waits_and_finds_the_fits(
    landed_home: Home, tmp_path: Path
) -> None:
    found, others = tmp_path / "found.json", list[Other]()

    def second() -> None:
        others.append(start(tmp_path / "heard", train_and_tell, landed_home, found))
        others[0].wait_for(f"(process {os.getpid()} on")

    first = train(landed_home, NAMES, FIT, progress=during("ials_categories: fit", second))
    assert others[0].exit_code() == 0
    assert others[0].heard.read_text().count("waiting for") == 1
    assert [fit.name for fit in first.fitted] == NAMES
    assert json.loads(found.read_text()) == [[], first.profile.name]


def hold_and_die(home: Home) -> None:
    with exclusive(home, "fit"):
        die()


@pytest.mark.filterwarnings("error:waiting")
def test_a_killed_process_holds_nothing(landed_home: Home) -> None:
    assert exit_code(hold_and_die, landed_home) == -signal.SIGKILL
    with exclusive(landed_home, "fit"):
        pass


def test_ctrl_c_ends_the_waiting(landed_home: Home, tmp_path: Path) -> None:
    with exclusive(landed_home, "fit"):
        other = start(tmp_path / "heard", ubp, "train", "--home", landed_home.root)
        other.wait_for("waiting for")
        os.kill(other.process.pid or 0, signal.SIGINT)
        assert other.exit_code() == 130
    assert not list(landed_home.blocks.glob("*"))


def test_of_two_deliveries_at_once_the_second_waits(home: Home, tmp_path: Path) -> None:
    one, two = (
        str(deliver(tmp_path / name, product_buy=purchases(20, client_id=client)))
        for name, client in (("one", 1), ("two", 2))
    )
    others = list[Other]()

    def second() -> None:
        others.append(start(tmp_path / "heard", ingest, home, two))
        others[0].wait_for(f"(process {os.getpid()} on ")

    ingest(home, one, progress=during("check", second))
    assert others[0].exit_code() == 0
    assert len(events(home)) == 40
    assert rows(home, "SELECT batch_id FROM batch") == [(1,), (2,)]


@pytest.mark.parametrize("command", [ingest, train])
def test_who_waits_for_a_writer_goes_on_when_it_is_killed(
    landed_home: Home, late: Path, tmp_path: Path, command: Callable[..., object]
) -> None:
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, landed_home.warehouse],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout
        writer.stdout.readline()
        argument = str(late) if command is ingest else ["handcrafted"]
        other = start(tmp_path / "heard", command, landed_home, argument)
        other.wait_for(f"in use by process {writer.pid}\n")
        writer.kill()
    assert other.exit_code() == 0
