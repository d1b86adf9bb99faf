"""Assembly from snapshots written by hand: order, means for missing blocks, slices."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.fit_files import FitDescription, write_description, write_weights
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.snapshot_files import Origin
from ubp_platform.home import Home
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.listing import newest_version
from ubp_platform.profile.pairing import create

CUTOFF = datetime(2022, 7, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(home=tmp_path)


def put(
    home: Home, name: str, ids: list[int], vectors: np.ndarray, made_from: str = "x"
) -> FittedBlock:
    snapshot = Snapshot(CUTOFF, np.array(ids, np.int64), vectors.astype(np.float32))
    snapshot.write(Catalog(home).snapshot_path(name, "v1", CUTOFF), Origin(made_from))
    directory, report = home.blocks / name / "v1", FitReport(cutoff=CUTOFF)
    directory.mkdir(parents=True, exist_ok=True)
    write_weights(directory, {})
    write_description(
        directory, FitDescription(block=name, params={}, report=report, fit=f"a fit of {name}")
    )
    return Catalog(home).get(name, "v1")


def test_blocks_are_concatenated_with_means_for_missing_ones(home: Home) -> None:
    ials = put(home, "ials_categories", [1, 5, 7], np.array([[3, 4], [-1, 4], [1, 1]]))
    crafted = put(home, "handcrafted", [5, 9, 11], np.array([[0], [10], [20]]))
    version = create(home, [ials, crafted], CUTOFF)
    profiles = Snapshot.read(assemble(home, version, CUTOFF))
    assert profiles.client_ids.tolist() == [1, 5, 7, 9, 11]
    # Less the mean (1, 3): (2, 1), (-2, 1) and (0, -2), each brought to unit length.
    a, b = 2 / np.sqrt(5), 1 / np.sqrt(5)
    c = (2 * b - 1) / 3
    np.testing.assert_allclose(
        profiles.vectors,
        [[a, b, 0], [-a, b, -1], [0, -1, 0], [0, c, 0], [0, c, 1]],
        atol=1e-6,
    )
    np.testing.assert_allclose(version.mean, [0, c, 0], atol=1e-6)
    assert [(part.start, part.width) for part in version.parts] == [(0, 2), (2, 1)]


def test_slices_do_not_change_profiles(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    fits = []
    for name in ("ials_categories", "gru_ae_day_event_type"):
        ids = np.flatnonzero(rng.random(3000) < 0.6)
        fits.append(put(home, name, ids.tolist(), rng.normal(size=(len(ids), 5))))
    version = create(home, fits, CUTOFF)
    whole = Snapshot.read(assemble(home, version, CUTOFF))
    version.snapshot_path(CUTOFF).unlink()
    monkeypatch.setattr("ubp_platform.profile.assembly.ROWS_PER_GROUP", 7)
    sliced = Snapshot.read(assemble(home, version, CUTOFF))
    assert whole.client_ids.tobytes() == sliced.client_ids.tobytes()
    np.testing.assert_allclose(whole.vectors, sliced.vectors, atol=1e-6)


def test_an_equal_pairing_reuses_the_version_and_others_are_new(home: Home) -> None:
    ials = put(home, "ials_categories", [1, 5], np.array([[3, 4], [0, 2]]))
    first = create(home, [ials], CUTOFF)
    assert create(home, [ials], CUTOFF).name == first.name == "v1"
    crafted = put(home, "handcrafted", [5], np.array([[1]]))
    assert create(home, [ials, crafted], CUTOFF).name == "v2"
    assert newest_version(home).name == "v2"


def test_profiles_are_rewritten_only_if_a_block_has_changed(home: Home) -> None:
    ials = put(home, "ials_categories", [1, 5], np.array([[3, 4], [0, 2]]))
    version = create(home, [ials], CUTOFF)
    path = assemble(home, version, CUTOFF)
    before = path.stat().st_mtime_ns
    assert assemble(home, version, CUTOFF).stat().st_mtime_ns == before
    put(home, "ials_categories", [1, 5, 6], np.array([[3, 4], [0, 2], [1, 0]]), "late events")
    assert len(Snapshot.read(assemble(home, version, CUTOFF)).client_ids) == 3


def test_clients_no_longer_encoded_keep_their_profiles(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.array([[3, 4], [0, 2], [5, 1], [1, 1]])
    version = create(home, [put(home, "ials_categories", [1, 5, 7, 9], vectors)], CUTOFF)
    before = Snapshot.read(assemble(home, version, CUTOFF))
    relevant = np.array([2, 5])
    put(home, "ials_categories", [2, 5], np.array([[3, 4], [9, 1]]), "another list")
    monkeypatch.setattr("ubp_platform.profile.assembly.ROWS_PER_GROUP", 3)
    after = Snapshot.read(assemble(home, version, CUTOFF, relevant=relevant))
    assert after.client_ids.tolist() == [1, 2, 5, 7, 9]
    np.testing.assert_array_equal(after.vectors[[0, 3, 4]], before.vectors[[0, 2, 3]])
    # A client encoded again gets the new profile; client 2 has the vector that client 1 had.
    assert not np.array_equal(after.vectors[2], before.vectors[1])
    np.testing.assert_array_equal(after.vectors[1], before.vectors[0])


def test_a_snapshot_without_clients_is_an_empty_profile(home: Home) -> None:
    ials = put(home, "ials_categories", [1, 5], np.array([[3, 4], [0, 2]]))
    version = create(home, [ials], CUTOFF)
    put(home, "ials_categories", [], np.empty((0, 2)), "nothing")
    profiles = Snapshot.read(assemble(home, version, CUTOFF))
    assert profiles.vectors.shape == (0, 2)
