"""Clients of a simulated shop: their lifetimes, habits and interests."""

from dataclasses import dataclass

import numpy as np

from ubp_platform.simulation.catalogue import (
    SECONDS_PER_DAY,
    Catalogue,
    draw_liking,
    draw_products,
)

WEEKDAYS = 7


@dataclass(frozen=True)
class Clients:
    """Properties of the clients of a chunk.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
    first_day, last_day : ndarray of int64, shape (n,)
        First and last day with sessions.
    rate : ndarray of float64, shape (n,)
        Sessions per day.
    weekdays : ndarray of float64, shape (n, 7)
        Cumulative weights of Monday to Sunday.
    hour : ndarray of float64, shape (n,)
        Mean hour of day of the sessions.
    level : ndarray of float64, shape (n,)
        Price level, in standard deviations of prices.
    searching, adding, buying, removing : ndarray of float64, shape (n,)
        Probabilities.
    weight : ndarray of float64, shape (n, n_interests)
        Cumulative weights of the interests.
    phase : ndarray of float64, shape (n, n_interests)
        Elapsed share of each interest's first epoch when the log begins.
    interest : ndarray of int64, shape (n, n_interests, n_epochs)
        The category of each interest in each of its epochs.
    favourite : ndarray of int64, shape (n, n_interests, n_epochs, n_favourites)
        Products that a client returns to.
    """

    ids: np.ndarray
    first_day: np.ndarray
    last_day: np.ndarray
    rate: np.ndarray
    weekdays: np.ndarray
    hour: np.ndarray
    level: np.ndarray
    searching: np.ndarray
    adding: np.ndarray
    buying: np.ndarray
    removing: np.ndarray
    weight: np.ndarray
    phase: np.ndarray
    interest: np.ndarray
    favourite: np.ndarray


def draw_clients(rng: np.random.Generator, catalogue: Catalogue, ids: np.ndarray) -> Clients:
    """Draw the clients with given ids, int64, shape (n,)."""
    shop, days, n = catalogue.shop, catalogue.days, len(ids)
    discontent = shop.discontent * rng.standard_normal(n)
    first_day = np.where(rng.random(n) < shop.newcomers, rng.integers(0, days, n), 0)
    leaving = rng.gamma(shop.dropout_shape, shop.dropout_a_day / shop.dropout_shape, n)
    stay = rng.standard_exponential(n) / np.maximum(leaving * np.exp(discontent), 1e-9)
    spread = shop.sessions_spread
    rate = shop.sessions_a_day * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    own = np.array(shop.weekdays) * np.exp(shop.rhythm * rng.standard_normal((n, WEEKDAYS)))
    evening = rng.random(n) < shop.evening
    searcher = rng.random(n) < shop.searchers * (rate / shop.sessions_a_day) ** shop.regulars
    adding = rng.gamma(shop.adding_shape, shop.adding / shop.adding_shape, n)
    level = rng.standard_normal(n)
    interest = _draw_interests(rng, catalogue, n)
    epochs = np.arange(interest.shape[-1])
    phase = rng.random(interest.shape[:-1])
    begun = (epochs - phase[..., None]) * shop.interest_days * SECONDS_PER_DAY
    shape = (*interest.shape, shop.favourites)
    favourite = draw_products(
        rng,
        catalogue,
        np.broadcast_to(interest[..., None], shape).ravel(),
        np.repeat(level, interest[0].size * shop.favourites),
        np.broadcast_to(begun.clip(0)[..., None], shape).ravel(),
    )
    return Clients(
        ids=ids,
        first_day=first_day,
        last_day=first_day + np.minimum(stay, days - 1 - first_day).astype(np.int64),
        rate=rate,
        weekdays=_cumulative(own),
        hour=np.where(evening, rng.normal(20, 1.2, n), rng.normal(12.5, 2, n)),
        level=level,
        searching=np.where(searcher, *shop.searching) * rng.gamma(4, 1 / 4, n),
        adding=adding,
        buying=_shifted(np.full(n, shop.buying), 0.6 * rng.standard_normal(n)),
        removing=_shifted(np.full(n, shop.removing), discontent),
        weight=_cumulative(rng.gamma(0.7, 1, (n, shop.interests)) + 0.02),
        phase=phase,
        interest=interest,
        favourite=favourite.reshape(shape),
    )


def _draw_interests(rng: np.random.Generator, catalogue: Catalogue, n: int) -> np.ndarray:
    """Draw the category of each client's interests in each epoch."""
    shop = catalogue.shop
    liking = draw_liking(rng, shop, catalogue.appeal, catalogue.coordinates, n)
    likes = _cumulative(liking)[:, None]  # (n, 1, n_departments)
    shape = (n, shop.interests)
    epochs = int(catalogue.days / shop.interest_days) + 2
    interest = np.empty((*shape, epochs), np.int64)
    for epoch in range(epochs):
        department = (rng.random(shape)[..., None] > likes).sum(axis=-1)
        if epoch:
            before = interest[..., epoch - 1]
            stays = rng.random(shape) < shop.loyalty
            department = np.where(stays, catalogue.department[before], department)
        interest[..., epoch] = catalogue.categories.draw(rng, department)
        if epoch:
            same = rng.random(shape) >= shop.drift
            interest[..., epoch] = np.where(same, before, interest[..., epoch])
    return interest


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Sum weights along the last axis, to exactly 1 at its end."""
    sums = np.cumsum(weights, axis=-1)
    return sums / sums[..., -1:]


def _shifted(probability: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Shift probabilities on the logistic scale."""
    odds = probability / (1 - probability) * np.exp(by)
    return odds / (1 + odds)
