"""Locks of a home: once per process and name, again within itself, in one order."""

import threading
from pathlib import Path

import pytest

from ubp_platform.home import Home
from ubp_platform.locks import exclusive


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(home=tmp_path)


@pytest.mark.filterwarnings("error:waiting")
def test_a_lock_is_free_within_itself_and_afterwards(home: Home) -> None:
    for _ in range(2):
        with exclusive(home, "fit"), exclusive(home, "encode"), exclusive(home, "fit"):
            pass
        with exclusive(home, "publish"):
            pass


def test_locks_are_taken_in_one_order(home: Home) -> None:
    with (
        exclusive(home, "encode"),
        pytest.raises(RuntimeError, match="'fit' is to be taken before"),
        exclusive(home, "fit"),
    ):
        pass


def test_a_failure_frees_the_lock(home: Home) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive(home, "fit"):
            raise ZeroDivisionError


def test_another_thread_waits_and_says_for_whom(home: Home) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(home, "fit"):
            order.append("second")

    thread = threading.Thread(target=second)
    with pytest.warns(UserWarning, match="waiting for `.*`, at work since .* UTC"):
        with exclusive(home, "fit"):
            thread.start()
            thread.join(timeout=0.2)
            order.append("first")
        thread.join()
    assert order == ["first", "second"]


def test_another_home_is_another_lock(home: Home, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with exclusive(home, "encode"), exclusive(Home(home=tmp_path / "other"), "fit"):
        pass


def test_a_home_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    with exclusive(Home(home=tmp_path / "none"), "fit"):
        pass
    assert not list(tmp_path.iterdir())
