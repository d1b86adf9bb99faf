"""The catalogue of a simulated shop: departments, categories, products, their codes and pages."""

from dataclasses import dataclass

import numpy as np

from ubp_platform.events.schema import CODE_VALUES, CODES
from ubp_platform.simulation.shop import Shop

#: Positions of a name's codes, coarse to fine, as a residual quantizer gives them; the last eight
#: are the product's own.
DEPARTMENT, CATEGORY, TIER = slice(0, 1), slice(1, 4), slice(4, 8)
SECONDS_A_DAY = 86_400
HOME_PAGE, CART_PAGE, FIRST_OTHER_PAGE = 0, 1, 2
_TIERS = 4
# What departments are liked is learned from so many clients who are drawn for that alone.
_POLLED = 10_000
# Of so many products that popularity proposes a client takes one by its price.
_CANDIDATES = 4


@dataclass(frozen=True)
class Weighted:
    """Things in groups, things of a group lying side by side, to draw from by weight.

    Parameters
    ----------
    first : ndarray of int64, shape (n_groups + 1,)
        Where each group begins.
    reach : ndarray of float64, shape (n_things + 1,)
        The weights, summed up to each thing.
    """

    first: np.ndarray
    reach: np.ndarray

    @staticmethod
    def zipf(sizes: np.ndarray, exponent: float) -> "Weighted":
        """Weigh the things of every group ``1 / rank ** exponent``, in their order."""
        first = np.concatenate([[0], np.cumsum(sizes)])
        rank = np.arange(first[-1]) - np.repeat(first[:-1], sizes)
        return Weighted.of(first, (1.0 + rank) ** -exponent)

    @staticmethod
    def of(first: np.ndarray, weights: np.ndarray) -> "Weighted":
        """Take any weights, shape (n_things,)."""
        return Weighted(first, np.concatenate([[0.0], np.cumsum(weights)]))

    def draw(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """Draw a thing of each of the groups, any shape."""
        low, high = self.first[groups], self.first[groups + 1]
        weight = self.reach[low]
        weight = weight + rng.random(groups.shape) * (self.reach[high] - weight)
        # Looked up in their order: in a large catalogue several times as fast, for the cache.
        order = np.argsort(weight, axis=None)
        thing = np.empty(weight.size, np.int64)
        thing[order] = np.searchsorted(self.reach, weight.ravel()[order], side="right") - 1
        return np.clip(thing.reshape(weight.shape), low, high - 1)


@dataclass(frozen=True)
class FilteredPages:
    """Listing pages with filters, a sort order or a page number: too many to be kept in memory.

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
        # The inverse of the distribution of ranks, taken as continuous.
        rank = (high - low) * rng.random(len(category)) ** (1 / (1 - self.tail))
        return self.begin + (low + rank.astype(np.int64)) * self.step % self.modulus


@dataclass(frozen=True)
class Catalogue:
    """What a shop sells, and how it is found.

    Departments, categories and products are numbers from 0; categories of a department and products
    of a category lie side by side, the most popular first. What a file shows of them are ids that
    have no order.

    Parameters
    ----------
    shop : Shop
    days : int
        Length of the log.
    places : ndarray of float64, shape (n_departments, 3)
        Departments whose places are near are liked by the same clients.
    appeal : ndarray of float64, shape (n_departments,)
        Logarithm of a department's popularity.
    department : ndarray of int64, shape (n_categories,)
    categories : Weighted
        The categories of each department.
    every_category : Weighted
        The same ones as a single group.
    category : ndarray of int64, shape (n_products,)
    products : Weighted
        The products of each category.
    always : ndarray of int64, shape (n_categories,)
        A product of each category that was there before the log.
    launch : ndarray of int64, shape (n_products,)
        Second of the log from which on a product exists.
    level : ndarray of float64, shape (n_products,)
        Price within its category, standardized.
    price : ndarray of int64, shape (n_products,)
        In 100 buckets of equally many products.
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
    places: np.ndarray
    appeal: np.ndarray
    department: np.ndarray
    categories: Weighted
    every_category: Weighted
    category: np.ndarray
    products: Weighted
    always: np.ndarray
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
        return self.days * SECONDS_A_DAY


def draw_catalogue(shop: Shop, clients: int, days: int, rng: np.random.Generator) -> Catalogue:
    """Draw what a shop with so many clients sells in a log of so many days.

    Parameters
    ----------
    shop : Shop
    clients, days : int
    rng : Generator

    Returns
    -------
    Catalogue
    """
    n_categories, n_products = shop.categories(clients), shop.products(clients)
    n_departments = round(n_categories**0.5)
    appeal = -shop.department_tail * np.log(1.0 + np.arange(n_departments))
    sizes = _split(rng, n_categories, np.ones(n_departments))
    categories = Weighted.zipf(sizes, shop.category_tail)
    department = np.repeat(np.arange(n_departments), sizes)
    popularity = np.exp(appeal[department]) * np.diff(categories.reach)
    sizes = _split(rng, n_products, popularity**0.5)
    category = np.repeat(np.arange(n_categories), sizes)
    products = Weighted.zipf(sizes, shop.product_tail)
    launch, always = _launches(rng, shop, products.first, days)
    level = rng.standard_normal(n_products)
    worth = rng.normal(0, 1.2, n_categories)[category] + level
    name, phrases = _codes(rng, shop, department, category, level)
    pages, other = n_categories * shop.category_pages, FIRST_OTHER_PAGE + shop.other_pages
    urls = _ids(rng, n_products + pages + other)
    places = rng.standard_normal((n_departments, 3))
    return Catalogue(
        shop=shop,
        days=days,
        places=places,
        appeal=appeal,
        department=department,
        categories=categories,
        every_category=Weighted.of(np.array([0, n_categories]), popularity),
        category=category,
        products=products,
        always=always,
        launch=launch,
        level=level,
        price=np.argsort(np.argsort(worth, kind="stable"), kind="stable") * 100 // n_products,
        sku=_ids(rng, n_products),
        category_id=_ids(rng, n_categories),
        name=name,
        phrases=phrases,
        product_url=urls[:n_products],
        category_url=urls[n_products : n_products + pages].reshape(n_categories, -1),
        other_url=urls[-other:],
        filtered=_filtered(
            rng,
            shop,
            max(n_categories, round(shop.filtered_pages * clients)),
            _visited(rng, shop, appeal, places, categories),
            4 * len(urls),
        ),
    )


def draw_liking(
    rng: np.random.Generator, shop: Shop, appeal: np.ndarray, places: np.ndarray, n: int
) -> np.ndarray:
    """Draw how well clients like the departments.

    Parameters
    ----------
    rng : Generator
    shop : Shop
    appeal : ndarray of float64, shape (n_departments,)
    places : ndarray of float64, shape (n_departments, 3)
    n : int
        How many clients.

    Returns
    -------
    ndarray of float64, shape (n, n_departments)
        Weights; 1 of the department that a client likes best.
    """
    liking = appeal + shop.affinity * rng.standard_normal((n, 3)) @ places.T
    return np.exp(liking - liking.max(axis=1, keepdims=True))


def choose_products(
    rng: np.random.Generator,
    catalogue: Catalogue,
    category: np.ndarray,
    level: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:
    """Choose popular products near a price level that are launched.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    category : ndarray of int64, shape (n,)
        What the products are to be of.
    level : ndarray of float64, shape (n,)
        In deviations of prices.
    time : ndarray, shape (n,)
        Second of the log.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    shape = (len(category), _CANDIDATES)
    candidates = catalogue.products.draw(rng, np.broadcast_to(category[:, None], shape))
    away = (catalogue.level[candidates] - level[:, None]) / catalogue.shop.price_width
    # The smallest of exponential times wins with odds as their rates (Gumbel's trick).
    wait = rng.standard_exponential(shape) * np.exp(np.minimum(away**2 / 2, 500))
    wait[catalogue.launch[candidates] > time[:, None]] = np.inf
    best = wait.argmin(axis=1)
    chosen = np.arange(len(category)), best
    return np.where(np.isinf(wait[chosen]), catalogue.always[category], candidates[chosen])


def _split(rng: np.random.Generator, total: int, weights: np.ndarray) -> np.ndarray:
    """Split a number into parts of at least one."""
    return 1 + rng.multinomial(total - len(weights), weights / weights.sum())


def _ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw distinct numbers that say nothing."""
    return rng.permutation(4 * count)[:count]


def _visited(
    rng: np.random.Generator,
    shop: Shop,
    appeal: np.ndarray,
    places: np.ndarray,
    categories: Weighted,
) -> np.ndarray:
    """Tell what share of the sessions each category gets, roughly."""
    liking = draw_liking(rng, shop, appeal, places, _POLLED)
    tastes = (liking / liking.sum(axis=1, keepdims=True)).mean(axis=0)
    anything = np.exp(appeal) / np.exp(appeal).sum()
    departments = (1 - shop.exploring) * tastes + shop.exploring * anything
    inside = np.diff(categories.reach)
    sizes = np.diff(categories.first)
    whole = categories.reach[categories.first[1:]] - categories.reach[categories.first[:-1]]
    return np.repeat(departments / whole, sizes) * inside


def _filtered(
    rng: np.random.Generator, shop: Shop, total: int, visited: np.ndarray, begin: int
) -> FilteredPages:
    """Give every category pages by its visits, with URLs from a number on."""
    modulus = 4 << total.bit_length()
    return FilteredPages(
        first=np.concatenate([[0], np.cumsum(_split(rng, total, visited))]),
        tail=shop.filtered_tail,
        begin=begin,
        step=2 * int(rng.integers(modulus // 2)) + 1,  # odd: no two pages have the same URL
        modulus=modulus,
    )


def _launches(
    rng: np.random.Generator, shop: Shop, first: np.ndarray, days: int
) -> tuple[np.ndarray, np.ndarray]:
    n_products = int(first[-1])
    new = rng.random(n_products) < shop.launched
    old_before = np.concatenate([[0], np.cumsum(~new)])
    none_old = old_before[first[1:]] == old_before[first[:-1]]
    new[first[:-1][none_old]] = False
    launch = np.where(new, rng.integers(1, days * SECONDS_A_DAY, n_products), 0)
    old = np.flatnonzero(~new)
    return launch, old[np.searchsorted(old, first[:-1])]


def _codes(
    rng: np.random.Generator,
    shop: Shop,
    department: np.ndarray,
    category: np.ndarray,
    level: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Quantize the products' names and the categories' phrases."""
    n_categories = len(department)
    tier = np.searchsorted([-0.67, 0.0, 0.67], level)  # quartiles of the normal distribution
    coarse = rng.permutation(CODE_VALUES).astype(np.uint8)[department % CODE_VALUES, None]
    middle = _arbitrary(rng, (n_categories, 3))
    fine = _arbitrary(rng, (n_categories, _TIERS, 4))
    name = _arbitrary(rng, (len(category), CODES))
    name[:, DEPARTMENT], name[:, CATEGORY] = coarse[category], middle[category]
    name[:, TIER] = fine[category, tier]
    phrases = _arbitrary(rng, (n_categories, shop.category_phrases, CODES))
    phrases[..., DEPARTMENT], phrases[..., CATEGORY] = coarse[:, None], middle[:, None]
    for codes in (name, phrases):
        noisy = rng.random(codes.shape, dtype=np.float32) < np.linspace(*shop.noise, CODES)
        codes[noisy] = _arbitrary(rng, (int(noisy.sum()),))
    return name, phrases


def _arbitrary(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, CODE_VALUES, shape, dtype=np.uint8)
