"""The benchmarks run: each at a size that takes seconds; what they measure is not tested."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks import __main__ as parts
from benchmarks import ingest, simulate
from benchmarks.full_log import __main__ as full_log
from benchmarks.full_log.outcome import Results, append, draw, table
from benchmarks.full_log.processes import STEPS
from benchmarks.machine import today
from tests.evaluation.evaluated import no_report, thin_networks
from tests.store.redis_server import MISSING, PROGRAM
from ubp_platform.blocks.torch_runtime import threads

pytestmark = pytest.mark.heavy
SMALL = {
    "ingest": ["--rows", "20000"],
    "ingest_log": ["--rows", "2000"],
    "handcrafted": ["--small"],
    "gru_training": ["--small"],
    "gru_encode": ["--small"],
    "next_url": ["--small"],
    "lightfm_codes": ["--small"],
    "evaluation": ["--small"],
    "simulate": ["--clients", "300"],
    "two_times": ["--small"],
    "shops": ["simulated", "--clients", "150", "--tasks", "churn", "--blocks", "counters"],
    "beside": ["simulated", "--clients", "150", "--tasks", "churn", "--blocks", "ials_*"],
    "codecs": ["simulated", "--clients", "150", "--epochs", "1", "--codecs", "lsa-rq"],
    "full_log": ["--scales", "0.0003", "--directory", "{}/run", "--append", "{}/runs.md"],
}


@pytest.mark.parametrize(("script", "size"), SMALL.items(), ids=SMALL)
def test_benchmark_ends_with_its_ratio(
    script: str,
    size: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [option.format(tmp_path) for option in size]
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    # In this process: to import all that they need takes longer than most of them.
    with threads(None), thin_networks(), no_report():
        module = full_log if script == "full_log" else import_module(f"benchmarks.{script}")
        module.main()
    printed = capsys.readouterr().out
    result = json.loads(printed.strip().splitlines()[-1])
    assert result["benchmark"] == script
    if script != "full_log":
        assert result["ratio"] > 0
    else:
        compared = {name for name, step in STEPS.items() if step.against}
        assert result["ratios"].keys() | {"lookup_redis"} == compared
        assert (tmp_path / "pictures" / "full_log_0.0003.png").exists()
        table = (tmp_path / "runs.md").read_text().splitlines()
        steps = len([line for line in table if line.startswith("| ")]) - 1
        assert steps == len(STEPS) - (PROGRAM is None)


Stop = Callable[..., tuple[object, str]]


@pytest.fixture
def stop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Call a program that ends before it runs anything; give its exit code and what it says."""
    monkeypatch.setattr(full_log, "measure", None)
    monkeypatch.setattr(subprocess, "run", None)

    def call(main: Callable[[], None], *options: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, "".join(capsys.readouterr())

    return call


def test_help_of_all_parts_lists_them(stop: Stop) -> None:
    code, said = stop(parts.main, "--help")
    assert code == 0
    assert "usage: python -m benchmarks [-h]" in said
    assert all(f"python -m benchmarks.{name}\n" in said for name in parts.SCRIPTS)
    code, said = stop(parts.main, "ingest")
    assert code == 2
    assert "unrecognized arguments: ingest" in said


def test_help_of_the_full_log_says_its_defaults(stop: Stop) -> None:
    code, said = stop(full_log.main, "--help")
    assert code == 0
    assert "usage: python -m benchmarks.full_log [-h]" in said
    assert "(default: 0.01 0.05)" in " ".join(said.split())
    assert "(default: build/full_log)" in " ".join(said.split())


@pytest.mark.parametrize("scale", ["0", "-1", "2", "nan", "inf", "abc", ""])
def test_a_scale_is_a_part_of_the_log(scale: str, stop: Stop, tmp_path: Path) -> None:
    wanted = ["--directory", tmp_path / "run", "--scales", "0.001", scale]
    for main, options in ((full_log.main, wanted), (simulate.main, ["--scale", scale])):
        code, said = stop(main, *options)
        assert code == 2
        assert f"a part of the log, above 0 and at most 1, not {scale!r}" in said
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("number", ["0", "-5", "1.5", "x"])
def test_clients_and_rows_are_counted(number: str, stop: Stop) -> None:
    for main, option in ((simulate.main, "--clients"), (ingest.main, "--rows")):
        code, said = stop(main, option, number)
        assert code == 2
        assert f"a whole number above 0, not {number!r}" in said


def test_steps_need_a_name(stop: Stop) -> None:
    code, said = stop(full_log.main, "--steps")
    assert code == 2
    assert "expected at least one argument" in said


@pytest.mark.parametrize(
    ("steps", "there", "said"),
    [
        ("publish", "", "assembly must run before publish: --steps assembly publish"),
        (
            "lookup_sqlite handcrafted",
            "home",
            "assembly, publish must run before handcrafted, lookup_sqlite: "
            "--steps handcrafted assembly publish lookup_sqlite",
        ),
        # What was published are not these profiles.
        (
            "assembly lookup_sqlite",
            "profiles/feast",
            "publish must run before assembly, lookup_sqlite: "
            "--steps assembly publish lookup_sqlite",
        ),
        (
            "next_day",
            "home",
            "simulate, ingest must run before next_day: --steps simulate ingest next_day",
        ),
    ],
)
def test_a_step_tells_which_steps_have_to_run_before_it(
    steps: str, there: str, said: str, stop: Stop, tmp_path: Path
) -> None:
    place = tmp_path / "0.01"
    (place / there).mkdir(parents=True)
    options = ["--scales", "0.01", "--directory", tmp_path, "--steps", *steps.split()]
    assert stop(full_log.main, *options) == (2, f"error: in {place}, {said}\n")


@pytest.mark.parametrize(
    ("option", "place", "said"),
    [
        ("--steps", "publish", "assembly must run before publish"),
        ("--directory", "file", "file is not a directory that can be written to"),
        ("--directory", "file/run", "file/run is not a directory that can be written to"),
        ("--append", "gallery", "gallery is not a file that can be written to"),
        ("--append", "none/runs.md", "there is no directory none"),
        ("--append", "file/runs.md", "file/pictures is not a directory that can be written to"),
        ("--append", "gallery/runs.md", "pictures is not a directory that can be written to"),
    ],
)
def test_nothing_is_made_where_something_is_wrong(
    option: str,
    place: str,
    said: str,
    stop: Stop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gallery").mkdir()
    Path("gallery/pictures").touch()
    Path("file").touch()
    code, told = stop(full_log.main, option, place)
    assert (code, told.count("\n")) == (2, 1)
    assert said in told
    assert {path.name for path in tmp_path.iterdir()} == {"file", "gallery"}


def test_redis_is_left_out_with_a_word_and_only_where_nobody_named_it(
    stop: Stop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full_log, "PROGRAM", None)
    monkeypatch.chdir(tmp_path)
    code, told = stop(full_log.main, "--steps", "lookup_redis", "ingest")
    assert (code, told) == (2, f"error: lookup_redis: {MISSING}\n")
    called = []

    def measure(name: str, directory: Path, scale: float) -> Results:
        called.append(name)
        return made_up(scale)

    monkeypatch.setattr(full_log, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--scales", "0.01"])
    full_log.main()
    assert called == [name for name in STEPS if name != "lookup_redis"]
    assert capsys.readouterr().out.startswith(f"lookup_redis is left out: {MISSING}\n")


def made_up(scale: float, date: str | None = None) -> Results:
    """Give the result of a step that takes 500 s at full size, half of its baseline's time."""
    theirs = {"items": 100, "unit": "events", "seconds": 1000 * scale, "peak_gb": 2.5, "also": {}}
    ours = {**theirs, "seconds": 500 * scale, "also": {"disk_gb": 1.0}}
    found = {"ours": ours, "baseline": theirs}
    return {**found, "date": date} if date else found


def test_scales_of_one_directory_and_repeated_steps_run_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = []

    def measure(name: str, directory: Path, scale: float) -> Results:
        called.append((name, scale))
        return made_up(scale)

    monkeypatch.setattr(full_log, "measure", measure)
    options = ["--scales", "0.02", "0.01", "1e-2", "0.0100000001", "--directory", str(tmp_path)]
    steps = ["--steps", "ingest", "simulate", "ingest"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *options, *steps])
    full_log.main()
    assert called == [(name, scale) for scale in (0.01, 0.02) for name in ("simulate", "ingest")]
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["ratios"] == {"simulate": 0.5, "ingest": 0.5}


def test_a_row_begins_with_what_steps_takes() -> None:
    runs = {scale: {"ingest": made_up(scale), "next_day": made_up(scale)} for scale in (0.1, 1)}
    heading, _, first, last = table(STEPS, runs).splitlines()
    assert heading == "| step | 10% | 100% | slope | ×: time of one item against | bound |"
    assert first.startswith("| `ingest`: ingest with all checks | 100 events: 50.0 s, 2.50 GB, ")
    assert last.endswith("| 60.0 s **missed** |")


def test_bounds_beside_less_than_the_log_say_that_they_are_of_all() -> None:
    heading, _, row = table(STEPS, {0.5: {"next_day": made_up(0.5)}}).splitlines()
    assert heading.endswith("| bound at 100% |")
    assert row.endswith("| 60.0 s |")


def test_results_of_other_days_are_dated(tmp_path: Path) -> None:
    old, new = "2026-01-02", {"next_day": made_up(1, today())}
    small = {"simulate": made_up(0.1), "ingest": made_up(0.1, old)}
    large = {"simulate": made_up(1, old), "ingest": made_up(1, old)}
    told = (
        "Measured earlier, with the versions of that day: 10% on an unknown day: `simulate`; "
        f"10% {old}: `ingest`; 100% {old}: `simulate`, `ingest`."
    )
    document, picture = tmp_path / "runs.md", tmp_path / "picture.png"
    picture.touch()
    for runs in ({0.1: small, 1: large | new}, {1: new}):
        append(STEPS, runs, picture, document)
    first, second = document.read_text().split("\n### ")[1:]
    assert f"Files took 1.0 GB at most. {told}\n\n| step" in first
    assert "Files took 1.0 GB at most.\n\n| step" in second


@pytest.mark.parametrize("scales", [(1,), (0.1, 1)])
def test_the_legend_names_the_lines_that_are_drawn(
    scales: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legends = []

    def legend(figure: Figure, **style: object) -> None:
        legends.append(figure.axes[0].get_legend_handles_labels()[1])

    monkeypatch.setattr(Figure, "legend", legend)
    draw(STEPS, {scale: {"ingest": made_up(scale)} for scale in scales}, tmp_path / "picture.png")
    assert legends == [["ingest", "slope 1"] if len(scales) > 1 else ["ingest"]]
