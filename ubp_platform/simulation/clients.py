"""Clients of a simulated shop: who they are."""

from dataclasses import dataclass

import numpy as np

from ubp_platform.simulation.catalogue import (
    SECONDS_A_DAY,
    Catalogue,
    choose_products,
    draw_liking,
)

WEEKDAYS = 7


@dataclass(frozen=True)
class Clients:
    """Who the clients of a chunk are.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
    born, gone : ndarray of int64, shape (n,)
        First and last day with sessions.
    rate : ndarray of float64, shape (n,)
        Sessions a day.
    weekdays : ndarray of float64, shape (n, 7)
        Weights of Monday to Sunday, summed up.
    hour : ndarray of float64, shape (n,)
        The hour of day around which the sessions are.
    level : ndarray of float64, shape (n,)
        Price level, in deviations of prices.
    searching, adding, buying, removing : ndarray of float64, shape (n,)
        Probabilities.
    weight : ndarray of float64, shape (n, n_interests)
        Of each interest, summed up.
    phase : ndarray of float64, shape (n, n_interests)
        How far each interest's first epoch has gone when the log begins, a share.
    interest : ndarray of int64, shape (n, n_interests, n_epochs)
        The category of each interest in each of its epochs.
    favourite : ndarray of int64, shape (n, n_interests, n_epochs, n_favourites)
        Products that a client keeps coming back to.
    """

    ids: np.ndarray
    born: np.ndarray
    gone: np.ndarray
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
    """Draw who the clients with these ids are.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    ids : ndarray of int64, shape (n,)

    Returns
    -------
    Clients
    """
    shop, days, n = catalogue.shop, catalogue.days, len(ids)
    discontent = shop.discontent * rng.standard_normal(n)
    born = np.where(rng.random(n) < shop.newcomers, rng.integers(0, days, n), 0)
    leaving = rng.gamma(shop.dropout_shape, shop.dropout_a_day / shop.dropout_shape, n)
    stay = rng.standard_exponential(n) / np.maximum(leaving * np.exp(discontent), 1e-9)
    spread = shop.sessions_spread
    rate = shop.sessions_a_day * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    own = np.array(shop.weekdays) * np.exp(shop.rhythm * rng.standard_normal((n, WEEKDAYS)))
    evening = rng.random(n) < shop.evening
    searcher = rng.random(n) < shop.searchers * (rate / shop.sessions_a_day) ** shop.regulars
    adding = rng.gamma(shop.adding_shape, shop.adding / shop.adding_shape, n)
    level = rng.standard_normal(n)
    interest = _interests(rng, catalogue, n)
    epochs = np.arange(interest.shape[-1])
    phase = rng.random(interest.shape[:-1])
    begun = (epochs - phase[..., None]) * shop.interest_days * SECONDS_A_DAY
    shape = (*interest.shape, shop.favourites)
    favourite = choose_products(
        rng,
        catalogue,
        np.broadcast_to(interest[..., None], shape).ravel(),
        np.repeat(level, interest[0].size * shop.favourites),
        np.broadcast_to(begun.clip(0)[..., None], shape).ravel(),
    )
    return Clients(
        ids=ids,
        born=born,
        gone=born + np.minimum(stay, days - 1 - born).astype(np.int64),
        rate=rate,
        weekdays=_summed(own),
        hour=np.where(evening, rng.normal(20, 1.2, n), rng.normal(12.5, 2, n)),
        level=level,
        searching=np.where(searcher, *shop.searching) * rng.gamma(4, 1 / 4, n),
        adding=adding,
        buying=_shifted(np.full(n, shop.buying), 0.6 * rng.standard_normal(n)),
        removing=_shifted(np.full(n, shop.removing), discontent),
        weight=_summed(rng.gamma(0.7, 1, (n, shop.interests)) + 0.02),
        phase=phase,
        interest=interest,
        favourite=favourite.reshape(shape),
    )


def _interests(rng: np.random.Generator, catalogue: Catalogue, n: int) -> np.ndarray:
    """Draw the category of each client's interests in each epoch."""
    shop = catalogue.shop
    liking = draw_liking(rng, shop, catalogue.appeal, catalogue.places, n)
    likes = _summed(liking)[:, None]  # (n, 1, n_departments)
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


def _summed(weights: np.ndarray) -> np.ndarray:
    """Sum weights up along the last axis, to exactly 1 at its end."""
    summed = np.cumsum(weights, axis=-1)
    summed /= summed[..., -1:]
    return summed


def _shifted(chance: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Move probabilities on the logistic scale."""
    odds = chance / (1 - chance) * np.exp(by)
    return odds / (1 + odds)
