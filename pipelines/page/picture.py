"""The map of all clients as a picture: how many lie where, coloured by a quantity."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, stats

from ubp_platform.similar.facts import Facts
from ubp_platform.similar.searching import State
from ubp_platform.similar.words import label, shown

#: Pixels of each side; and the part of a side that is left free around the clients.
SIDE, MARGIN = 720, 0.04
# Colours from low to high, and of categories; all of them are seen on white and on black.
_SCALE = np.array(
    [
        (106, 76, 190),
        (62, 100, 190),
        (38, 130, 142),
        (53, 183, 121),
        (168, 210, 60),
        (253, 200, 40),
    ],
    float,
)
CATEGORIES = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (222, 170, 0),
    (86, 180, 233),
    (160, 70, 60),
    (120, 94, 240),
)
_OTHERS = (140, 140, 140)
_FIRST = "last_days"
BY_CATEGORY = "category"


@dataclass(frozen=True)
class Key:
    """What colours mean: texts with their colours, from low to high."""

    entries: list[tuple[str, str]]


def quantities(facts: Facts) -> dict[str, str]:
    """Return what a map can be coloured by, with its words."""
    features = [name for name in facts.features if not facts.is_constant(name)]
    found = {name: label(name) for name in (_FIRST, "events")}
    if any((codes >= 0).any() for codes, _ in facts.categories):
        found[BY_CATEGORY] = "favourite category"
    return found | {name: label(name) for name in features}


def place(facts: Facts, slot: int) -> tuple[float, float]:
    """Return where a client lies, in pixels."""
    x, y = _scaled(facts, facts.points[slot][None])[0] * SIDE
    return round(float(x), 1), round(float(y), 1)


def nearest(facts: Facts, x: float, y: float) -> int | str | None:
    """Return the client who is nearest to a place, in parts of the sides; None without clients."""
    distances = ((_scaled(facts, facts.points) - (x, y)) ** 2).sum(axis=1)
    distances[np.isnan(distances)] = np.inf
    if not np.isfinite(distances).any():
        return None
    return facts.ids(np.array([distances.argmin()]))[0]


def _scaled(facts: Facts, points: np.ndarray) -> np.ndarray:
    low, high = facts.bounds
    found: np.ndarray = MARGIN + (1 - 2 * MARGIN) * (points - low) / (high - low)
    return found


def drawn(state: State, quantity: str) -> tuple[bytes, Key]:
    """Draw the map; return a PNG file without a background, and what its colours mean."""
    return state.remembered(("map", quantity), lambda: _draw(state, quantity))


def _draw(state: State, quantity: str) -> tuple[bytes, Key]:
    facts = state.facts
    there = np.flatnonzero((facts.present) & np.isfinite(facts.points).all(axis=1))
    places = np.clip((_scaled(facts, facts.points[there]) * SIDE).astype(int), 0, SIDE - 1)
    cells = places[:, 1] * SIDE + places[:, 0]
    dot = _dot(len(there))
    if quantity == BY_CATEGORY:
        colours, key = _by_category(facts, there, cells, dot)
    else:
        colours, key = _by_number(state, quantity, there, cells, dot)
    density = _spread(cells, np.ones(len(cells)), dot)
    strength = np.log1p(density) / max(np.log1p(density).max(), 1e-9)
    alpha = np.where(density > 0, 110 + 145 * strength, 0)
    pixels = np.dstack([colours, alpha]).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    return file.getvalue(), key


def _by_number(
    state: State, quantity: str, there: np.ndarray, cells: np.ndarray, dot: np.ndarray
) -> tuple[np.ndarray, Key]:
    numbers = state.facts.numbers(quantity, state.description.cutoff)
    values = np.zeros(len(there)) if numbers is None else np.asarray(numbers[there], float)
    known = ~np.isnan(values)
    ranks = np.full(len(values), 0.5)
    if known.any():
        ranks[known] = (stats.rankdata(values[known]) - 0.5) / known.sum()
    weight = _spread(cells, np.ones(len(cells)), dot)
    mean = _spread(cells, ranks, dot) / np.maximum(weight, 1e-9)
    steps = np.linspace(0, 1, len(_SCALE))
    colours = np.dstack([np.interp(mean, steps, _SCALE[:, one]) for one in range(3)])
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    levels = np.quantile(values[known], shares) if known.any() else np.zeros(5)
    entries = []
    for share, level in zip(shares, levels, strict=True):
        colour = [float(np.interp(share, steps, _SCALE[:, one])) for one in range(3)]
        entries.append((_hex(colour), shown(quantity, round(float(level), 2))))
    return colours, Key(entries)


def _by_category(
    facts: Facts, there: np.ndarray, cells: np.ndarray, dot: np.ndarray
) -> tuple[np.ndarray, Key]:
    codes, words = facts.categories[0]
    mine = codes[there]
    common = np.bincount(mine[mine >= 0], minlength=1).argsort()[::-1][: len(CATEGORIES)]
    layers = [_spread(cells, (mine == code).astype(float), dot) for code in common]
    layers.append(0.2 * _spread(cells, (~np.isin(mine, common)).astype(float), dot))
    palette = np.array([*CATEGORIES[: len(common)], _OTHERS], float)
    colours = palette[np.argmax(layers, axis=0)]
    entries = [
        (_hex(colour), words[int(code)].as_py())
        for code, colour in zip(common, palette, strict=False)
        if (mine == code).any()
    ]
    return colours, Key([*entries, (_hex(_OTHERS), "others")])


def _spread(cells: np.ndarray, weights: np.ndarray, dot: np.ndarray) -> np.ndarray:
    grid = np.bincount(cells, weights, minlength=SIDE * SIDE).reshape(SIDE, SIDE)
    found: np.ndarray = ndimage.convolve(grid, dot, mode="constant") if dot.size > 1 else grid
    return np.where(found > 1e-9, found, 0)


def _dot(clients: int) -> np.ndarray:
    """Return the shape of a client, which is smaller where there are many."""
    radius = float(np.clip(260 / np.sqrt(max(clients, 1)), 1.2, 9))
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (np.hypot(x, y) <= radius).astype(float)


def _hex(colour: Iterable[float]) -> str:
    return "#" + "".join(f"{round(one):02x}" for one in colour)
