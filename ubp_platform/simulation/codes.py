"""Codes of product names and search phrases, as a residual quantizer produces them."""

import numpy as np

from ubp_platform.events.schema import CODE_VALUES, CODES
from ubp_platform.simulation.shop import Shop

# Positions of a name's codes, coarse to fine; the last eight belong to the product.
_DEPARTMENT, _CATEGORY, _TIER = slice(0, 1), slice(1, 4), slice(4, 8)
# Price tiers are separated by the quartiles of the normal distribution.
_TIER_BOUNDS = (-0.67, 0.0, 0.67)


def draw_codes(
    rng: np.random.Generator,
    shop: Shop,
    department: np.ndarray,
    category: np.ndarray,
    level: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the codes of the products' names and of the categories' phrases.

    Parameters
    ----------
    rng : Generator
    shop : Shop
    department : ndarray of int64, shape (n_categories,)
    category : ndarray of int64, shape (n_products,)
    level : ndarray of float64, shape (n_products,)
        Price within its category, standardized.

    Returns
    -------
    name : ndarray of uint8, shape (n_products, 16)
    phrases : ndarray of uint8, shape (n_categories, n_phrases, 16)
    """
    n_categories = len(department)
    tier = np.searchsorted(_TIER_BOUNDS, level)
    coarse = rng.permutation(CODE_VALUES).astype(np.uint8)[department % CODE_VALUES, None]
    middle = _arbitrary(rng, (n_categories, 3))
    fine = _arbitrary(rng, (n_categories, len(_TIER_BOUNDS) + 1, 4))
    name = _arbitrary(rng, (len(category), CODES))
    name[:, _DEPARTMENT], name[:, _CATEGORY] = coarse[category], middle[category]
    name[:, _TIER] = fine[category, tier]
    phrases = _arbitrary(rng, (n_categories, shop.category_phrases, CODES))
    phrases[..., _DEPARTMENT], phrases[..., _CATEGORY] = coarse[:, None], middle[:, None]
    for codes in (name, phrases):
        noisy = rng.random(codes.shape, dtype=np.float32) < np.linspace(*shop.noise, CODES)
        codes[noisy] = _arbitrary(rng, (int(noisy.sum()),))
    return name, phrases


def _arbitrary(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, CODE_VALUES, shape, dtype=np.uint8)
