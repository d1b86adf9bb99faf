"""What lands is what was hashed: a file that changes meanwhile rejects the whole batch."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from pipelines.dry_run import dry_run
from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.landed import events, rows
from ubp_platform.errors import BatchRejected
from ubp_platform.home import Home
from ubp_platform.layouts import staging
from ubp_platform.progress import Advance, ProgressFactory


def written(suffix: str, frame: pd.DataFrame, directory: Path) -> bytes:
    """Return a file of purchases; equal rows make files of equal size."""
    deliver(directory, suffix, product_buy=frame)
    return (directory / f"product_buy{suffix}").read_bytes()


def overwrite(path: Path, contents: bytes) -> None:
    """Write into the same file, with the old time."""
    before = path.stat()
    path.write_bytes(contents)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(path: Path, contents: bytes) -> None:
    """Rename another file into place, with the old time."""
    other, before = path.with_name("_other"), path.stat()
    other.write_bytes(contents)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def remove(path: Path, contents: bytes) -> None:
    path.unlink()


def during(step: str, change: Callable[[], None]) -> ProgressFactory:
    """Make a change when a step begins."""

    @contextmanager
    def begin(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        if description == step:
            change()
        yield lambda amount: None

    return begin


@pytest.mark.parametrize(
    ("step", "suffix", "change"),
    [
        ("check product_buy", ".parquet", overwrite),
        ("land add_to_cart", ".csv", exchange),
        ("land add_to_cart", ".parquet", remove),
    ],
)
def test_a_file_that_changes_while_it_is_read_rejects_the_batch(
    home: Home,
    tmp_path: Path,
    step: str,
    suffix: str,
    change: Callable[[Path, bytes], None],
) -> None:
    delivery = deliver(
        tmp_path / "delivery", suffix, product_buy=purchases(50), add_to_cart=purchases(20)
    )
    path = delivery / f"product_buy{suffix}"
    other = written(suffix, purchases(50, sku=[9] * 50), tmp_path / "other")
    progress = during(step, lambda: change(path, other))
    with pytest.raises(BatchRejected, match=f"{path} was (changed|removed) .* again") as caught:
        ingest(home, str(delivery), progress=progress)
    assert "\n" not in str(caught.value)
    for table in ("product_buy", "add_to_cart", "batch", "batch_file", "quarantine"):
        assert not rows(home, f"FROM {table}")
    assert not home.data_docs.exists()


def test_a_file_that_changes_between_parsing_and_hashing_rejects_the_batch(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=purchases(50))
    path, hashed = delivery / "product_buy.csv", staging._sha256

    def late(file: Path) -> str:
        overwrite(path, path.read_bytes().replace(b"2022", b"2021"))
        return hashed(file)

    monkeypatch.setattr(staging, "_sha256", late)
    with pytest.raises(BatchRejected, match="was changed while it was being read"):
        ingest(home, str(delivery))
    assert not events(home)


def test_a_broken_rule_of_a_file_that_changed_is_not_reported(home: Home, tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "delivery", product_buy=purchases(50), add_to_cart=purchases(20))
    path = delivery / "product_buy.parquet"
    broken = written(".parquet", purchases(50, timestamp="x"), tmp_path / "other")
    progress = during("check add_to_cart", lambda: path.write_bytes(broken))
    with pytest.raises(BatchRejected, match="was changed while it was being read"):
        ingest(home, str(delivery), progress=progress)
    assert not home.data_docs.exists()


def test_a_dry_run_reads_one_state_of_the_files(tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "delivery", product_buy=purchases(50))
    path = delivery / "product_buy.parquet"
    progress = during("check product_buy", lambda: remove(path, b""))
    with pytest.raises(BatchRejected, match="was removed while it was being read"):
        dry_run(str(delivery), progress=progress)
