"""Invalid uses of ``ubp evaluate``, each refused in one line."""

from pathlib import Path

import pytest

from pipelines.ingest import ingest
from tests.evaluation.evaluated import Ubp, assert_one_line
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, purchases
from tests.shops import START
from ubp_platform.home import Home

pytestmark = pytest.mark.usefixtures("thin")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "chrun"], "no task is called 'chrun'; there are churn, conversion, "),
        (["--blocks", "gru"], "no block is called 'gru'; there are future_window, "),
        (["--blocks", "handcrafted,gru_x*"], r"no block is called 'gru_x\*'; there are "),
        (["--network", "huge"], "'--network': 'huge' is not one of 'small', 'paper'"),
        (["--protocol", "fair"], "'--protocol': 'fair' is not one of 'holdout', 'challenge'"),
        (["--heads", "forest"], "no head is called 'forest'; there are network, logistic, boost"),
        (["--heads", "boosting"], "--heads boosting: profiles wider than 64 numbers"),
        (["--labels", "many"], "--labels many: a budget is an integer of at least 10"),
        (["--labels", "300"], "--labels 300: a budget is .* below the 300 clients; 'all' alone"),
        (["--protocol", "challenge", "--heads", "logistic"], "--heads logistic: the challenge has"),
        (["--protocol", "challenge", "--labels", "100"], "--labels 100: the challenge labels all"),
        (["--embeddings", "x", "--block-seeds", "2"], "--embeddings fits nothing: leave out"),
        (["--preset", "huge"], "'--preset': 'huge' is not one of 'small', 'paper'"),
        (["--clients", "nowhere.npy"], "no such file: nowhere.npy"),
        (["--clients", "nowhere.parquet"], "no such file: nowhere.parquet"),
        (
            ["--clients", "clients.txt"],
            r"clients.txt: a list of clients is a .npy, a .parquet or a .csv file",
        ),
        (["--classes", "nowhere"], "nowhere is not a directory of class lists"),
        (["--classes", "."], ". has no class list: none of propensity_category.npy, "),
        (["--embeddings", "nowhere"], "no such directory: nowhere"),
        (["--embeddings", "x", "--blocks", "handcrafted"], "--embeddings fits nothing: leave out"),
        (["--embeddings", "x", "--preset", "paper"], "--embeddings fits nothing: leave out"),
        (["--blocks", ","], "',' names nothing"),
        (["--json", "nowhere/x.json"], "--json: nowhere/x.json must be a file, in a directory"),
        (["--model", "x"], "takes a language model: leave out --model"),
        (["--tasks", "propensity_new_sku"], "propensity_new_sku: it has 0 of the two classes"),
    ],
)
def test_mistakes_are_one_line(ubp: Ubp, options: list[str], message: str) -> None:
    named = {"--blocks", "--embeddings"} & set(options)
    blocks = [] if named else ["--blocks", "handcrafted"]
    assert_one_line(ubp("evaluate", *blocks, *options), message)


def test_a_home_without_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_HOME", str(tmp_path / "home"))
    assert_one_line(
        run_ubp(capsys, "evaluate"), "no warehouse at .*: run `ubp ingest SOURCE` first"
    )


def test_a_log_that_is_too_short_or_without_purchases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 26 days and some hours.
    short_log = purchases(640)
    assert short_log["timestamp"].min() == START
    ingest(Home(home=tmp_path / "short"), str(deliver(tmp_path / "a", product_buy=short_log)))
    monkeypatch.setenv("UBP_HOME", str(tmp_path / "short"))
    assert_one_line(
        run_ubp(capsys, "evaluate", "--blocks", "handcrafted"),
        "the log is too short to evaluate: it begins 2022-06-01, .* begin 2022-05-31, 27 days",
    )
    visits = purchases().rename(columns={"sku": "url"})
    ingest(Home(home=tmp_path / "visits"), str(deliver(tmp_path / "b", page_visit=visits)))
    monkeypatch.setenv("UBP_HOME", str(tmp_path / "visits"))
    assert_one_line(
        run_ubp(capsys, "evaluate", "--blocks", "handcrafted"),
        "the warehouse holds no purchase: an evaluation predicts purchases",
    )
    assert not (tmp_path / "short" / "blocks").exists()
    assert not (tmp_path / "visits" / "blocks").exists()
