"""Where a lake may lie, and where not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from pipelines.lake import lake
from pipelines.revert import revert
from tests.lake.lakes import part, read, warehouse_rows
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.lake.opening import place_of


@pytest.mark.parametrize("value", ["/", " ", "a\nb", "memory://x", "http://u:secret@shop/lake"])
def test_places_that_cannot_be(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("UBP_LAKE", value)
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert "secret" not in outcome.err


def test_a_place_is_no_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("UBP_LAKE", str(tmp_path / "file"))
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert f"{tmp_path / 'file'} is a file" in outcome.err


def test_what_is_not_of_the_lake_is_left_alone(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`UBP_LAKE` may name a directory that is used."""
    place = tmp_path / "used"
    others = [place / name for name in ("2024/3.parquet", "notes.txt", "write-1/mine.csv")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    monkeypatch.setenv("UBP_LAKE", str(place))
    lake(home, bucket_clients=7)
    lake(home, bucket_clients=9)
    assert [path.read_text() for path in others] == ["mine"] * 3


def test_another_homes_lake_is_not_replaced(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_LAKE", str(tmp_path / "shared"))
    lake(home)
    other = Home(tmp_path / "other")
    ingest(other, str(deliver(tmp_path / "theirs", **part(later=False))))
    with pytest.raises(UBPError, match=r"is of another home: .*`ubp lake --anew`"):
        lake(other)
    assert read(place_of(home)) == warehouse_rows(home)
    lake(other, anew=True)
    assert read(place_of(other)) == warehouse_rows(other)


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3-compatible server on loopback, with a bucket."""
    pytest.importorskip("s3fs")
    from tests.lake.s3 import object_store

    with object_store() as (environment, url):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield url


def test_it_may_lie_in_an_object_store(
    home: Home, object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_LAKE", object_store)
    lake(home, bucket_clients=7)
    assert read(place_of(home)) == warehouse_rows(home)
    assert not home.lake.exists()
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    lake(home)
    assert read(place_of(home)) == warehouse_rows(home)
    revert(home, 2)
    manifest = lake(home).written.manifest
    assert read(place_of(home)) == warehouse_rows(home)
    assert {*place_of(home).names()} == {"lake.json", *(file.name for file in manifest.files)}


def test_an_object_store_that_does_not_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("UBP_LAKE", "s3://shop/lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert "the lake at s3://shop/lake does not answer" in outcome.err
    monkeypatch.setenv("UBP_LAKE", "gs://shop/lake")
    assert "cannot be opened" in run_ubp(capsys, "lake", "--home", home.root).err
