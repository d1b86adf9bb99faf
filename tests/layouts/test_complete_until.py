"""A layout may say up to when the log is complete with a delivery."""

from datetime import datetime
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from pipelines.status import status
from tests.layouts.layouts import write_layout
from tests.pipelines.landed import rows
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.times import parse_time

TOML = """about = "A shop of our own"
time_zone = "Europe/Berlin"

[relation.buys]
files = ["buys.csv"]

[relation.done]
files = ["done.csv"]
optional = true
"""


def land(
    home: Home,
    directory: Path,
    done: str | None,
    query: str = "SELECT until FROM done",
    complete_until: datetime | None = None,
) -> str:
    """Land a purchase and a file that says when the export was done; return the status' answer."""
    source = directory / "source"
    source.mkdir()
    (source / "buys.csv").write_text("client_id,timestamp,sku\n1,2022-06-01 10:00,4\n")
    if done:
        (source / "done.csv").write_text(f"until\n{done}\n")
    buys = "SELECT client_id, timestamp, sku FROM buys"
    layout = write_layout(directory / "mine", TOML, product_buy=buys, complete_until=query)
    ingest(home, str(source), layout=str(layout), complete_until=complete_until)
    return str(status(home)["warehouse"]["complete_until"])


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ("2022-06-01 12:00", "2022-06-01T10:00:00+00:00"),  # as the layout's zone has it
        ("2022-06-01T12:00:00Z", "2022-06-01T12:00:00+00:00"),
        (None, "2022-06-02T00:00:00+00:00"),  # without the file, as without the query
    ],
)
def test_the_time_is_the_default_cutoff(
    home: Home, tmp_path: Path, done: str | None, expected: str
) -> None:
    assert land(home, tmp_path, done) == expected


def test_the_command_line_goes_before_the_layout(home: Home, tmp_path: Path) -> None:
    time = parse_time("2022-06-01 09:00")
    assert land(home, tmp_path, "2022-06-01", complete_until=time) == time.isoformat()


@pytest.mark.parametrize(
    ("done", "query", "problem"),
    [
        ("soon", "SELECT until FROM done", r"'soon' is not a time with a zone"),
        ("", "SELECT NULL FROM buys", "one row with one time is needed"),
        ("2022-06-01", "SELECT until FROM done WHERE false", "one row with one time is needed"),
        ("2022-06-01", "SELECT until, 1 FROM done", "one row with one time is needed"),
        ("2022-06-01\n2022-06-02", "SELECT until FROM done", "one row with one time is needed"),
        ("2022-06-01", "SELECT wrong FROM done", 'line 1: .*"wrong" not found'),
        ("2122-06-01", "SELECT until FROM done", r"2122-05-31 22:00 is after the delivery"),
    ],
)
def test_anything_else_is_refused(
    home: Home, tmp_path: Path, done: str, query: str, problem: str
) -> None:
    with pytest.raises(UBPError, match=rf"complete_until\.sql[:,] {problem}"):
        land(home, tmp_path, done, query)
    assert rows(home, "FROM batch") == []
