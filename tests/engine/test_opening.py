"""Which engine a command gets, and what is said where there is none."""

import sys
from pathlib import Path

import pytest

from tests.pipelines.commands import run_ubp
from ubp_platform.engine.base import HERE
from ubp_platform.engine.opening import open_engine
from ubp_platform.errors import UBPError


def test_the_default_is_this_process() -> None:
    assert open_engine() is HERE
    assert open_engine("local") is HERE
    assert [*HERE.in_order(str, range(3))] == ["0", "1", "2"]
    assert [*HERE.as_finished(str, range(2))] == [(0, "0"), (1, "1")]


def test_an_address_is_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UBPError, match="--address is that of a Ray cluster: add --engine ray"):
        open_engine("local", "head.shop:6379")


def test_without_ray_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ubp_platform.engine.ray_engine", raising=False)
    for arguments in (["--engine", "ray"], ["--address", "head.shop:6379"]):
        outcome = run_ubp(capsys, "encode", *arguments, "--home", tmp_path / "home")
        assert outcome.code == 2
        assert "pip install 'ubp-platform[ray]'" in outcome.err
    monkeypatch.setenv("UBP_ENGINE", "ray")
    assert "ubp-platform[ray]" in run_ubp(capsys, "refresh", "--home", tmp_path / "home").err


def test_other_engines_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_ubp(capsys, "train", "--engine", "spark", "--home", tmp_path / "home")
    assert outcome.code == 2
    assert "'local'" in outcome.err
    assert "'ray'" in outcome.err
    monkeypatch.setenv("UBP_ENGINE", "spark")
    outcome = run_ubp(capsys, "status", "--home", tmp_path / "home")
    assert outcome.code == 2
    assert "UBP_ENGINE" in outcome.err
