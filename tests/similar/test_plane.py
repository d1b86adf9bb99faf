"""The map of clients: similar ones lie close together, and nobody else moves them."""

from pathlib import Path

import numpy as np

from ubp_platform.similar.plane import Plane
from ubp_platform.similar.vectors import unit


def groups(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    middles = 3 * rng.normal(size=(4, 12))
    of = rng.integers(4, size=count)
    return of, (middles[of] + rng.normal(size=(count, 12))).astype(np.float32)


def test_groups_lie_apart(tmp_path: Path) -> None:
    of, rows = groups(800)
    plane = Plane.fit(rows)
    points = plane.place(np.arange(800), rows)
    middles = np.stack([points[of == one].mean(axis=0) for one in range(4)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == of).mean() > 0.95
    assert points.min() > -0.5
    assert points.max() < 1.5


def test_a_client_lies_at_the_same_place_with_others_or_alone(tmp_path: Path) -> None:
    _, rows = groups(400)
    plane, keys = Plane.fit(rows), np.arange(400) * 7919 - 2**62
    points = plane.place(keys, rows)
    plane.write(tmp_path / "plane")
    again = Plane.open(tmp_path / "plane")
    for row in (0, 17, 399):
        alone = again.place(keys[row : row + 1], rows[row : row + 1])
        np.testing.assert_allclose(alone[0], points[row], atol=1e-4)


def test_few_clients_have_a_map_too() -> None:
    _, rows = groups(9)
    points = Plane.fit(rows).place(np.arange(9), rows)
    assert np.isfinite(points).all()
    assert np.isfinite(Plane.fit(rows[:0]).place(np.arange(9), rows)).all()


def test_nobody_is_a_centre() -> None:
    _, rows = groups(300)
    plane = Plane.fit(rows)
    assert (plane._centres @ unit(rows).T).max() < 0.9999
