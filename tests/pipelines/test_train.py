"""Choosing blocks to fit, resuming an interrupted fit, listing blocks, and decoding a vector."""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.encode import encode
from pipelines.explain import Recall, explain
from pipelines.status import status
from pipelines.train import train
from tests.blocks.contract import BlockContract
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT, LATER
from tests.processes import die, exit_code
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.gru_ae_day_event_type import GRUAEDayEventType
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.profile.fitting import fit_blocks

TINY = {"hidden": 8, "layers": 1, "last": 16, "batch_size": 16, "max_epochs": 4}
RHYTHM = "gru_ae_day_event_type"
CHEAP = ["handcrafted", RHYTHM]


@pytest.fixture(scope="module", autouse=True)
def tiny_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small = {**GRUAEDayEventType.presets["small"], **TINY}
        patch.setattr(GRUAEDayEventType, "presets", {"small": small, "paper": small})
        yield


def train_and_die(home: Home, presets: dict[str, Any]) -> None:
    """Train until the third epoch."""

    @contextmanager
    def die_in_third_epoch(description: str, total: float | None, unit: str) -> Iterator:
        yield die if "epoch 3/" in description else lambda amount: None

    GRUAEDayEventType.presets = presets
    train(home, CHEAP, FIT, progress=die_in_third_epoch)


@pytest.fixture(scope="module")
def cut_off_shop(landed_shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose training was killed in the third epoch; use `cut_off_home` to change it."""
    place = tmp_path_factory.mktemp("cut_off") / "home"
    home = Home(home=shutil.copytree(landed_shop.root, place))
    code = exit_code(train_and_die, home, GRUAEDayEventType.presets)
    assert code == -signal.SIGKILL
    return home


@pytest.fixture
def cut_off_home(cut_off_shop: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return Home(home=shutil.copytree(cut_off_shop.root, tmp_path / "home"))


def test_kill_9_in_train_then_resume_equals_an_uninterrupted_fit(
    cut_off_home: Home, landed_shop: Home, tmp_path: Path
) -> None:
    assert [fit.name for name in block_names() for fit in Catalog(cut_off_home).versions(name)] == [
        "handcrafted"
    ]
    found = status(cut_off_home)
    assert (found["cut_off"], found["next"]) == ([RHYTHM], "ubp train --resume")
    resumed = train(cut_off_home, CHEAP, FIT, resume=True)
    assert status(cut_off_home)["cut_off"] == []
    assert [fit.name for fit in resumed.reused] == ["handcrafted"]
    assert resumed.fitted[0].report.note == "resumed after epoch 2"
    assert not list(cut_off_home.checkpoints.rglob("*.*"))

    uncut = Home(home=shutil.copytree(landed_shop.root, tmp_path / "uncut"))
    whole = train(uncut, CHEAP, FIT)
    fits = {fit.name: fit.load() for fit in whole.fitted}
    BlockContract.assert_same_fit(resumed.fitted[0].load(), fits[RHYTHM])
    ours, theirs = (
        Snapshot.read(done.profile.snapshot_path(FIT)).vectors for done in (resumed, whole)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_without_resume_an_interrupted_fit_starts_anew(cut_off_home: Home) -> None:
    again = train(cut_off_home, CHEAP, FIT)
    assert again.fitted[0].report.note == ""
    assert not list(cut_off_home.checkpoints.rglob("*.*"))


def test_other_parameters_are_not_resumed_and_leave_the_checkpoint_alone(
    cut_off_home: Home,
) -> None:
    with pytest.warns(UserWarning, match="starts again: its checkpoint is of another history or"):
        other = train(cut_off_home, CHEAP, FIT, seed=1, resume=True)
    assert {fit.name: fit.report.note for fit in other.fitted}[RHYTHM] == ""
    train(cut_off_home, [RHYTHM], FIT, seed=2)
    first = train(cut_off_home, CHEAP, FIT, resume=True)
    assert [fit.report.note for fit in first.fitted] == ["resumed after epoch 2"]


def test_another_history_is_not_resumed(cut_off_home: Home) -> None:
    with pytest.warns(UserWarning, match="starts again"):
        later = train(cut_off_home, CHEAP, LATER, resume=True)
    assert {fit.name: fit.report.note for fit in later.fitted}[RHYTHM] == ""


@pytest.mark.filterwarnings("error:.*starts again")
def test_complete_fits_start_again_silently(cut_off_home: Home) -> None:
    fits = fit_blocks(cut_off_home, CHEAP, cutoff=LATER, resume=True, complete=True)
    assert {fit.name: fit.report.note for fit in fits.fitted}[RHYTHM] == ""


def test_a_broken_checkpoint_is_one_line_with_the_way_out(cut_off_home: Home) -> None:
    (checkpoint,) = cut_off_home.checkpoints.rglob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:40])
    with pytest.raises(UBPError, match=r"is damaged: train without --resume"):
        train(cut_off_home, CHEAP, FIT, resume=True)
    assert not train(cut_off_home, CHEAP, FIT).fitted[0].report.note


def test_a_fit_of_another_release_is_neither_reused_nor_read(
    landed_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(landed_home, CHEAP, FIT)
    monkeypatch.setattr(GRUAEDayEventType, "revision", GRUAEDayEventType.revision + 1)
    with pytest.raises(
        UBPError, match="fitted by another definition of the block: `ubp train gru_ae_day"
    ):
        encode(landed_home, [LATER])
    again = train(landed_home, CHEAP, FIT)
    assert [fit.name for fit in again.fitted] == [RHYTHM]


def test_a_resumed_fit_counts_all_its_time(cut_off_home: Home) -> None:
    (path,) = cut_off_home.checkpoints.rglob("*.safetensors")
    checkpoint = Checkpoint(path)
    assert checkpoint.load() is not None
    resumed = train(cut_off_home, CHEAP, FIT, resume=True)
    assert resumed.fitted[0].report.seconds > checkpoint.seconds > 0


def test_blocks_that_would_be_kept_can_be_skipped(landed_home: Home) -> None:
    train(landed_home, CHEAP, FIT)
    result = train(landed_home, ["handcrafted"], FIT, skip=["gru_*"])
    assert [part.block for part in result.profile.parts] == ["handcrafted"]


def test_ctrl_c_then_resume(landed_home: Home) -> None:
    @contextmanager
    def ctrl_c(description: str, total: float | None, unit: str):
        def advance(amount: float) -> None:
            if "epoch 3/" in description:
                raise KeyboardInterrupt

        yield advance

    cut = train(landed_home, CHEAP, FIT, progress=ctrl_c)
    assert not {fit.name: fit.report.complete for fit in cut.fitted}[RHYTHM]
    whole = train(landed_home, CHEAP, FIT, resume=True)
    assert [fit.report.note for fit in whole.fitted] == ["resumed after epoch 2"]
    assert len(whole.fitted[0].report.curves["train"]) == 4


def test_skipped_blocks_are_not_fitted(landed_home: Home) -> None:
    others = [name for name in block_names() if name not in CHEAP]
    result = train(landed_home, cutoff=FIT, profile="paper", skip=[*others, "gru_*"])
    assert [part.block for part in result.profile.parts] == ["handcrafted"]
    assert result.skipped == [name for name in block_names() if name != "handcrafted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": ["lm"]}, "no block is called 'lm'; there are future_window, "),
        ({"skip": ["*"]}, "all blocks are skipped"),
        ({"names": CHEAP, "model": "x"}, "takes a language model: leave out --model"),
    ],
)
def test_choices_that_make_no_sense(
    landed_home: Home, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UBPError, match=message.replace("*", r"\*")):
        train(landed_home, cutoff=FIT, **options)


def test_explain_shows_true_and_decoded_events(
    landed_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    train(landed_home, CHEAP, FIT)
    found = explain(landed_home, 7)
    assert (found.client_id, found.block, found.cutoff) == (7, RHYTHM, FIT)
    assert list(found.true) == list(found.decoded) == ["day", "event_type"]
    assert 0 < len(found.true["day"]) <= 16
    days = [int(day) for day in found.true["day"]]
    assert days == sorted(days, reverse=True)
    assert set(found.true["event_type"]) <= {name.replace("_", " ") for name in EVENT_TYPES}
    for recall in found.recalls:
        assert 0 <= recall.in_place <= recall.anywhere <= 1
    shown = run_ubp(capsys, "explain", 7, "--home", landed_home.root, "--events", 3)
    assert shown.code == 0, shown.err
    assert "Client 7 before 2022-07-01" in shown.out
    assert "in its place" in shown.out


def test_explain_says_what_guessing_would_do() -> None:
    recall = Recall("url", values=10, in_place=0.5, anywhere=0.9, guess=0.5)
    assert recall.verdict.startswith("no better than guessing")
    better = replace(recall, in_place=0.8)
    assert better.verdict == "80% came back in its place, 30% more than by guessing"
    assert replace(recall, guess=None).verdict == "50% came back in its place, 90% anywhere"
    assert "rare values alone" in replace(recall, values=0, rare=3).verdict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((999_999,), "client 999999 has no product_buy or .* event before 2022-07-01"),
        (
            (7, "handcrafted"),
            "'handcrafted' is not an autoencoder of profile v1; there are gru_ae_day",
        ),
        ((7, None, "v9"), "no profile version is called 'v9'"),
    ],
)
def test_explain_reports_what_is_missing(landed_home: Home, arguments: tuple, message: str) -> None:
    train(landed_home, CHEAP, FIT)
    with pytest.raises(UBPError, match=message):
        explain(landed_home, *arguments)


def test_explain_needs_an_autoencoder(landed_home: Home) -> None:
    train(landed_home, ["handcrafted"], FIT)
    with pytest.raises(UBPError, match="has no autoencoder"):
        explain(landed_home, 7)


def test_blocks_lists_all_in_the_order_of_the_profile(
    landed_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    train(landed_home, CHEAP, FIT)
    listed = json.loads(run_ubp(capsys, "blocks", "--json", "--home", landed_home.root).out)
    assert [block["name"] for block in listed] == list(block_names())
    fitted = {block["name"]: block for block in listed if block["version"]}
    assert set(fitted) == set(CHEAP)
    assert fitted[RHYTHM]["width"] == 8
    assert fitted[RHYTHM]["loss"] > 0
    assert fitted["handcrafted"]["section"] == "3.2.5"
    table = run_ubp(capsys, "blocks", "--home", landed_home.root).out
    assert "gru_ae_week_all" in table
