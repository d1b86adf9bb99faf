"""A file above a limit is refused before it is read, in one line with the setting that helps."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clients import relevant_clients
from pipelines.dry_run import dry_run
from pipelines.ingest import ingest
from pipelines.init import init
from tests.pipelines.deliveries import deliver, purchases
from ubp_platform.errors import LimitExceeded
from ubp_platform.home import Home
from ubp_platform.settings import Settings

Write = Callable[[Path], Path]


def many_columns(suffix: str, number: int = 20_000) -> Write:
    def write(directory: Path) -> Path:
        path = directory / f"product_buy{suffix}"
        if suffix == ".parquet":
            columns = pa.table([pa.array([1])] * number, names=[f"c{n}" for n in range(number)])
            pq.write_table(columns, path)
        elif suffix == ".csv":
            path.write_text(",".join(f"c{n}" for n in range(number)) + "\n" + "1," * number)
        else:
            path.write_text("{" + ",".join(f'"c{n}":1' for n in range(number)) + "}\n")
        return path

    return write


def many_rows(suffix: str) -> Write:
    def write(directory: Path) -> Path:
        return deliver(directory, suffix, product_buy=purchases(3_000)) / f"product_buy{suffix}"

    return write


def long_line(directory: Path, packed: bool = False, line: int = 500) -> Path:
    """Write a line of 40 MB, longer than DuckDB's buffer, into the middle of a file."""
    path = deliver(directory, ".csv", product_buy=purchases(1_000)) / "product_buy.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = b"1,2022-06-01 10:00:00," + b"9" * 40_000_000 + b"\n"
    path.write_bytes(b"".join(lines))
    if packed:
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
        return path.with_suffix(".csv.gz")
    return path


def one_field(directory: Path) -> Path:
    path = directory / "events.ndjson"
    path.write_text('{"user_id":"' + "a" * 20_000_000 + '"}\n')
    return path


def long_packed_line(directory: Path) -> Path:
    return long_line(directory, packed=True)


TOO_LARGE = [
    (many_columns(".parquet"), "20,000 columns", "1,000", "max_columns"),
    (many_columns(".csv"), "20,000 columns", "1,000", "max_columns"),
    (many_rows(".parquet"), "3,000 rows", "2,000", "max_rows"),
    (many_rows(".csv"), "3,001 lines", "2,000", "max_rows"),
    (long_line, "line 500 of {} has at least", "1,000,000", "max_row_bytes"),
    (long_packed_line, "line 500 of {} has at least", "1,000,000", "max_row_bytes"),
]
# Known layouts read no field of these, but a draft looks at all of them.
UNKNOWN = [
    (many_columns(".ndjson"), "20,000 columns", "1,000", "max_columns"),
    (one_field, "line 1 .* at least", "1,000,000", "max_row_bytes"),
]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the limit of rows to what a test can write."""
    monkeypatch.setenv("UBP_MAX_ROWS", "2000")


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize(("write", "found", "limit", "setting"), TOO_LARGE)
def test_a_file_above_a_limit_is_refused(
    home: Home, tmp_path: Path, write: Write, found: str, limit: str, setting: str
) -> None:
    path = write(tmp_path)
    expected = found.format(path.name)
    refusing = [
        lambda: ingest(home, str(tmp_path)),
        lambda: dry_run(str(tmp_path)),
        lambda: init(path, tmp_path / "layout"),
    ]
    for refuse in refusing:
        with pytest.raises(LimitExceeded, match=expected) as caught:
            refuse()
        message = str(caught.value)
        assert f"more than the limit of {limit}" in message
        assert f"UBP_{setting.upper()} (or {setting} in ubp.toml)" in message
        assert "\n" not in message
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize(("write", "found", "limit", "setting"), UNKNOWN)
def test_no_layout_is_drafted_for_a_file_above_a_limit(
    tmp_path: Path, write: Write, found: str, limit: str, setting: str
) -> None:
    path = write(tmp_path)
    with pytest.raises(LimitExceeded, match=rf"{found}.*limit of {limit}.*{setting}"):
        init(path, tmp_path / "layout")


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize(("write", "found", "limit", "setting"), TOO_LARGE[:4])
def test_a_list_of_clients_above_a_limit_is_refused(
    home: Home, tmp_path: Path, write: Write, found: str, limit: str, setting: str
) -> None:
    with pytest.raises(LimitExceeded, match=rf"{found}, more than the limit of {limit}.*{setting}"):
        relevant_clients(home, write(tmp_path))


def test_the_challenges_log_is_within_the_limits() -> None:
    limits = Settings()
    assert 160_000_000 < limits.max_rows < 10**9


@pytest.mark.parametrize("character", ["x", "9"])
def test_a_line_below_a_raised_limit_is_read(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    """Also one that is longer than DuckDB's own limit of 2 MB, directly below the header."""
    monkeypatch.setenv("UBP_MAX_ROW_BYTES", "4000000")
    path = tmp_path / "page_visit.csv"
    path.write_text(f"client_id,timestamp,url\n1,2022-06-01 10:00:00,{character * 3_000_000}\n")
    (file,) = ingest(home, str(tmp_path)).files
    assert file.landed == 1
