"""Settings: the environment wins over the file, and mistakes are one clear line."""

from pathlib import Path

import pytest

from tests.pipelines.commands import run_ubp
from ubp_platform.errors import UBPError
from ubp_platform.home import PROJECT_ROOT, open_home
from ubp_platform.settings import Settings
from ubp_platform.warehouse import Warehouse


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"UBP_{name.upper()}", raising=False)
    return tmp_path


def test_without_settings_the_home_is_in_the_current_directory(directory: Path) -> None:
    assert open_home().root == directory / "ubp_home"


def test_the_file_sets_and_the_environment_overrides(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "ubp.toml").write_text('home = "shop"\nthreads = 3\n')
    assert open_home().root == directory / "shop"
    monkeypatch.setenv("UBP_HOME", "other")
    assert open_home().root == directory / "other"
    assert open_home(Path("third")).root == directory / "third"
    assert Settings.load().threads == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("thread = 3", "ubp.toml: unknown setting 'thread'; known: home, memory_limit, threads"),
        ("threads = 0", r"UBP_THREADS \(or threads in ubp.toml\): .* greater than 0"),
        ('memory_limit = "many"', "'many' is not an amount of memory, such as 4GB or 20%"),
        ('home = ""', r"UBP_HOME .*: a directory is expected, not an empty string"),
        ("home = ", "^ubp.toml: Invalid value"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(directory: Path, text: str, message: str) -> None:
    (directory / "ubp.toml").write_text(text)
    with pytest.raises(UBPError, match=message):
        Settings.load()


def test_an_empty_variable_is_not_the_current_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UBP_HOME", "")
    with pytest.raises(UBPError, match="UBP_HOME"):
        open_home()


def test_the_warehouse_keeps_to_the_limits(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_MEMORY_LIMIT", "2GiB")
    monkeypatch.setenv("UBP_THREADS", "1")
    with Warehouse(directory / "warehouse.duckdb", write=True, memory_share=0.5) as warehouse:
        query = "SELECT current_setting('memory_limit'), current_setting('threads')"
        assert warehouse.connection.execute(query).fetchall() == [("1.0 GiB", 1)]


def test_help_is_shown_with_invalid_settings(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "ubp.toml").write_text("threads = 0")
    assert run_ubp(capsys, "train", "--help").code == 0
    assert run_ubp(capsys, "status").code == 2


def test_the_page_about_settings_has_them_all() -> None:
    page = (PROJECT_ROOT / "docs" / "how-to" / "configure.md").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"| `UBP_{name.upper()}` | `{name}` |" in page
