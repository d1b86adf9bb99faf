"""The catalogue of a simulated shop: departments, categories, products and their pages."""

from dataclasses import dataclass

import numpy as np

from ubp_platform.simulation.codes import draw_codes
from ubp_platform.simulation.shop import Shop
from ubp_platform.simulation.weighted import Weighted, draw_ids, draw_sizes

SECONDS_PER_DAY = 86_400
HOME_PAGE, CART_PAGE, FIRST_OTHER_PAGE = 0, 1, 2
# Clients drawn only to estimate how popular the departments are.
_SAMPLED_CLIENTS = 10_000
# Number of popular products from which a client chooses one by its price.
_CANDIDATES = 4


@dataclass(frozen=True)
class FilteredPages:
    """Listing pages with filters, a sort order or a page number: too many to keep in memory.

    Parameters
    ----------
    first : ndarray of int64, shape (n_categories + 1,)
        Where the pages of each category begin, the most visited first.
    tail : float
        Zipf exponent within a category.
    begin, step, modulus : int
        The URL of page ``k`` is ``begin + k * step % modulus``.
    """

    first: np.ndarray
    tail: float
    begin: int
    step: int
    modulus: int

    def draw(self, rng: np.random.Generator, category: np.ndarray) -> np.ndarray:
        """Draw the URL of a page of each of the categories, shape (n,)."""
        low, high = self.first[category], self.first[category + 1]
        # The inverse of the distribution of ranks, treated as continuous.
        rank = (high - low) * rng.random(len(category)) ** (1 / (1 - self.tail))
        return self.begin + (low + rank.astype(np.int64)) * self.step % self.modulus


@dataclass(frozen=True)
class Catalogue:
    """The products of a shop and the pages that lead to them.

    Departments, categories and products are numbered from 0; categories of a department and
    products of a category are adjacent, the most popular first. Files show arbitrary ids instead.

    Parameters
    ----------
    shop : Shop
    days : int
        Length of the log.
    coordinates : ndarray of float64, shape (n_departments, 3)
        Departments near each other are liked by the same clients.
    appeal : ndarray of float64, shape (n_departments,)
        Logarithm of a department's popularity.
    department : ndarray of int64, shape (n_categories,)
    categories : Weighted
        The categories of each department.
    every_category : Weighted
        All categories as a single group.
    category : ndarray of int64, shape (n_products,)
    products : Weighted
        The products of each category.
    always_available : ndarray of int64, shape (n_categories,)
        One product per category that was launched before the log.
    launch : ndarray of int64, shape (n_products,)
        Second of the log from which on a product exists.
    level : ndarray of float64, shape (n_products,)
        Price within its category, standardized.
    price : ndarray of int64, shape (n_products,)
        In 100 buckets with equal numbers of products.
    sku : ndarray of int64, shape (n_products,)
    category_id : ndarray of int64, shape (n_categories,)
    name : ndarray of uint8, shape (n_products, 16)
    phrases : ndarray of uint8, shape (n_categories, n_phrases, 16)
        Codes of the queries for each category, the most frequent first.
    product_url : ndarray of int64, shape (n_products,)
    category_url : ndarray of int64, shape (n_categories, n_pages)
    other_url : ndarray of int64, shape (n_other,)
        The home page, the cart, then the others, the most visited first.
    filtered : FilteredPages
    """

    shop: Shop
    days: int
    coordinates: np.ndarray
    appeal: np.ndarray
    department: np.ndarray
    categories: Weighted
    every_category: Weighted
    category: np.ndarray
    products: Weighted
    always_available: np.ndarray
    launch: np.ndarray
    level: np.ndarray
    price: np.ndarray
    sku: np.ndarray
    category_id: np.ndarray
    name: np.ndarray
    phrases: np.ndarray
    product_url: np.ndarray
    category_url: np.ndarray
    other_url: np.ndarray
    filtered: FilteredPages

    @property
    def seconds(self) -> int:
        """Length of the log."""
        return self.days * SECONDS_PER_DAY


def draw_catalogue(shop: Shop, clients: int, days: int, rng: np.random.Generator) -> Catalogue:
    """Draw the catalogue of a shop for a number of clients and a log of a number of days."""
    n_categories, n_products = shop.categories(clients), shop.products(clients)
    n_departments = round(n_categories**0.5)
    appeal = -shop.department_tail * np.log(1.0 + np.arange(n_departments))
    sizes = draw_sizes(rng, n_categories, np.ones(n_departments))
    categories = Weighted.zipf(sizes, shop.category_tail)
    department = np.repeat(np.arange(n_departments), sizes)
    popularity = np.exp(appeal[department]) * np.diff(categories.cumulative)
    sizes = draw_sizes(rng, n_products, popularity**0.5)
    category = np.repeat(np.arange(n_categories), sizes)
    products = Weighted.zipf(sizes, shop.product_tail)
    launch, always_available = _draw_launches(rng, shop, products.first, days)
    level = rng.standard_normal(n_products)
    worth = rng.normal(0, 1.2, n_categories)[category] + level
    name, phrases = draw_codes(rng, shop, department, category, level)
    pages, other = n_categories * shop.category_pages, FIRST_OTHER_PAGE + shop.other_pages
    urls = draw_ids(rng, n_products + pages + other)
    coordinates = rng.standard_normal((n_departments, 3))
    return Catalogue(
        shop=shop,
        days=days,
        coordinates=coordinates,
        appeal=appeal,
        department=department,
        categories=categories,
        every_category=Weighted.of(np.array([0, n_categories]), popularity),
        category=category,
        products=products,
        always_available=always_available,
        launch=launch,
        level=level,
        price=np.argsort(np.argsort(worth, kind="stable"), kind="stable") * 100 // n_products,
        sku=draw_ids(rng, n_products),
        category_id=draw_ids(rng, n_categories),
        name=name,
        phrases=phrases,
        product_url=urls[:n_products],
        category_url=urls[n_products : n_products + pages].reshape(n_categories, -1),
        other_url=urls[-other:],
        filtered=_draw_filtered(
            rng,
            shop,
            total=max(n_categories, round(shop.filtered_pages * clients)),
            visits=_estimate_visits(rng, shop, appeal, coordinates, categories),
            begin=4 * len(urls),
        ),
    )


def draw_liking(
    rng: np.random.Generator, shop: Shop, appeal: np.ndarray, coordinates: np.ndarray, n: int
) -> np.ndarray:
    """Draw how well ``n`` clients like the departments.

    Parameters
    ----------
    rng : Generator
    shop : Shop
    appeal : ndarray of float64, shape (n_departments,)
    coordinates : ndarray of float64, shape (n_departments, 3)
    n : int

    Returns
    -------
    ndarray of float64, shape (n, n_departments)
        Weights; 1 for a client's favourite department.
    """
    liking = appeal + shop.affinity * rng.standard_normal((n, 3)) @ coordinates.T
    return np.exp(liking - liking.max(axis=1, keepdims=True))


def draw_products(
    rng: np.random.Generator,
    catalogue: Catalogue,
    category: np.ndarray,
    level: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:
    """Draw popular, launched products of categories, near price levels.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    category : ndarray of int64, shape (n,)
    level : ndarray of float64, shape (n,)
        In standard deviations of prices.
    time : ndarray, shape (n,)
        Second of the log.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    shape = (len(category), _CANDIDATES)
    candidates = catalogue.products.draw(rng, np.broadcast_to(category[:, None], shape))
    distance = (catalogue.level[candidates] - level[:, None]) / catalogue.shop.price_width
    # The smallest of exponential times wins with odds equal to their rates (Gumbel's trick).
    wait = rng.standard_exponential(shape) * np.exp(np.minimum(distance**2 / 2, 500))
    wait[catalogue.launch[candidates] > time[:, None]] = np.inf
    first = np.arange(len(category)), wait.argmin(axis=1)
    return np.where(np.isinf(wait[first]), catalogue.always_available[category], candidates[first])


def _estimate_visits(
    rng: np.random.Generator,
    shop: Shop,
    appeal: np.ndarray,
    coordinates: np.ndarray,
    categories: Weighted,
) -> np.ndarray:
    """Estimate each category's share of the sessions."""
    liking = draw_liking(rng, shop, appeal, coordinates, _SAMPLED_CLIENTS)
    tastes = (liking / liking.sum(axis=1, keepdims=True)).mean(axis=0)
    anything = np.exp(appeal) / np.exp(appeal).sum()
    departments = (1 - shop.exploring) * tastes + shop.exploring * anything
    weights, first = categories.cumulative, categories.first
    totals = weights[first[1:]] - weights[first[:-1]]
    return np.repeat(departments / totals, np.diff(first)) * np.diff(weights)


def _draw_filtered(
    rng: np.random.Generator, shop: Shop, total: int, visits: np.ndarray, begin: int
) -> FilteredPages:
    """Distribute pages over the categories by their visits, with URLs from ``begin`` on."""
    modulus = 4 << total.bit_length()
    return FilteredPages(
        first=np.concatenate([[0], np.cumsum(draw_sizes(rng, total, visits))]),
        tail=shop.filtered_tail,
        begin=begin,
        step=2 * int(rng.integers(modulus // 2)) + 1,  # odd: no two pages have the same URL
        modulus=modulus,
    )


def _draw_launches(
    rng: np.random.Generator, shop: Shop, first: np.ndarray, days: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw when products are launched; at least one per category before the log."""
    n_products = int(first[-1])
    new = rng.random(n_products) < shop.launched
    old_before = np.concatenate([[0], np.cumsum(~new)])
    none_old = old_before[first[1:]] == old_before[first[:-1]]
    new[first[:-1][none_old]] = False
    launch = np.where(new, rng.integers(1, days * SECONDS_PER_DAY, n_products), 0)
    old = np.flatnonzero(~new)
    return launch, old[np.searchsorted(old, first[:-1])]
