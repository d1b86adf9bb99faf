"""Sessions of clients in a simulated shop, and the events in them.

For all clients of a chunk at once: first the sessions, then the products viewed in them, then the
rows of the five event types.
"""

from dataclasses import dataclass

import numpy as np

from ubp_platform.simulation.catalogue import (
    CART_PAGE,
    FIRST_OTHER_PAGE,
    HOME_PAGE,
    SECONDS_PER_DAY,
    Catalogue,
    draw_products,
)
from ubp_platform.simulation.clients import WEEKDAYS, Clients
from ubp_platform.simulation.weighted import Weighted

Columns = dict[str, np.ndarray]
# Session, time and other columns.
Rows = tuple[np.ndarray, np.ndarray, Columns]


@dataclass(frozen=True)
class Sessions:
    """The sessions of clients and their intents, by client, then by time.

    Parameters
    ----------
    client : ndarray of int64, shape (n,)
        Position in the chunk.
    start : ndarray of int64, shape (n,)
        Second of the log.
    interest, epoch : ndarray of int64, shape (n,)
        The client's interest that led to the session; -1 if the client only explores.
    category : ndarray of int64, shape (n,)
        The intended category.
    """

    client: np.ndarray
    start: np.ndarray
    interest: np.ndarray
    epoch: np.ndarray
    category: np.ndarray


@dataclass(frozen=True)
class ProductViews:
    """Products viewed, by session, then by time.

    Parameters
    ----------
    session, product : ndarray of int64, shape (n,)
    arrived, seen, left : ndarray of int64, shape (n,)
        When the client started to look for the product, saw its page, and left it.
    by_query, by_listing : ndarray of bool, shape (n,)
        How the client reached the product; neither: by a link.
    end : ndarray of int64, shape (n_sessions,)
        When the client left the last product of each session.
    """

    session: np.ndarray
    product: np.ndarray
    arrived: np.ndarray
    seen: np.ndarray
    left: np.ndarray
    by_query: np.ndarray
    by_listing: np.ndarray
    end: np.ndarray


def draw_sessions(rng: np.random.Generator, catalogue: Catalogue, clients: Clients) -> Sessions:
    """Draw the sessions of clients and their intents."""
    shop, n = catalogue.shop, len(clients.ids)
    lifetime = clients.last_day - clients.first_day + 1
    counts = 1 + rng.poisson(clients.rate * lifetime)
    client = np.repeat(np.arange(n), counts)
    size = len(client)
    day = clients.first_day[client] + (rng.random(size) * lifetime[client]).astype(np.int64)
    # In the same week, on a weekday that suits the client. The log ends with a Sunday.
    weekday = (rng.random(size)[:, None] > clients.weekdays[client]).sum(axis=1)
    suits = day - (day - catalogue.days) % WEEKDAYS + weekday
    suitable = (suits >= clients.first_day[client]) & (suits <= clients.last_day[client])
    day = np.where(suitable, suits, day)
    hour = (clients.hour[client] + rng.normal(0, 2, size)) % 24
    second = np.minimum(hour * 3600, SECONDS_PER_DAY - 1).astype(np.int64)
    key = np.sort(client * catalogue.seconds + day * SECONDS_PER_DAY + second)
    client, start = np.divmod(key, catalogue.seconds)
    interest = (rng.random(size)[:, None] > clients.weight[client]).sum(axis=1)
    epoch = start / (shop.interest_days * SECONDS_PER_DAY) + clients.phase[client, interest]
    epoch = epoch.astype(np.int64)
    category = clients.interest[client, interest, epoch]
    exploring = rng.random(size) < shop.exploring
    anything = catalogue.every_category.draw(rng, np.zeros(size, np.int64))
    return Sessions(
        client=client,
        start=start,
        interest=np.where(exploring, -1, interest),
        epoch=epoch,
        category=np.where(exploring, anything, category),
    )


def draw_product_views(
    rng: np.random.Generator, catalogue: Catalogue, clients: Clients, sessions: Sessions
) -> ProductViews:
    """Draw the products that are viewed in each session."""
    shop = catalogue.shop
    counts = rng.geometric(1 / shop.views, len(sessions.start))
    session = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    client, size = sessions.client[session], int(counts.sum())
    category = sessions.category[session]
    off = np.flatnonzero(rng.random(size) >= shop.focus)
    category[off] = catalogue.categories.draw(rng, catalogue.department[category[off]])
    product = draw_products(
        rng, catalogue, category, clients.level[client], sessions.start[session]
    )
    returning = (rng.random(size) < shop.returning) & (sessions.interest[session] >= 0)
    returning[off] = False
    of = session[returning]
    product[returning] = clients.favourite[
        client[returning],
        sessions.interest[of],
        sessions.epoch[of],
        rng.integers(0, shop.favourites, len(of)),
    ]
    by_query = rng.random(size) < clients.searching[client]
    by_listing = ~by_query & (rng.random(size) < shop.browsing)
    searching = np.where(by_query | by_listing, _seconds(rng, size, 5, 25), 0)
    staying = _seconds(rng, size, 8, 50)
    elapsed = np.cumsum(searching + staying)
    before = elapsed[first] - (searching + staying)[first]
    start = sessions.start + _seconds(rng, len(counts), 3, 10)
    left = elapsed - before[session] + start[session]
    return ProductViews(
        session=session,
        product=product,
        arrived=left - staying - searching,
        seen=left - staying,
        left=left,
        by_query=by_query,
        by_listing=by_listing,
        end=left[first + counts - 1],
    )


def draw_events(
    rng: np.random.Generator, catalogue: Catalogue, clients: Clients
) -> dict[str, Columns]:
    """Draw all events of clients.

    Returns
    -------
    dict of str to dict of str to ndarray
        For each event type the columns of its table, by client and then by time; ``timestamp`` in
        seconds of the log.
    """
    sessions = draw_sessions(rng, catalogue, clients)
    views = draw_product_views(rng, catalogue, clients, sessions)
    rows = _draw_actions(rng, catalogue, clients, sessions, views)
    queried = np.flatnonzero(views.by_query)
    query = _draw_queries(rng, catalogue, views.product[queried])
    rows["search_query"] = views.session[queried], views.arrived[queried], {"query": query}
    return {
        name: _sorted(catalogue, clients, sessions.client[session], time, columns)
        for name, (session, time, columns) in rows.items()
    }


def _draw_actions(
    rng: np.random.Generator,
    catalogue: Catalogue,
    clients: Clients,
    sessions: Sessions,
    views: ProductViews,
) -> dict[str, Rows]:
    """Draw additions to the cart, visits to it, removals and purchases."""
    client = sessions.client[views.session]
    chance, adding = rng.random(len(client)), clients.adding[client]
    added = np.flatnonzero(chance < adding)
    # Purchases without a cart.
    direct = np.flatnonzero((chance >= adding) & (chance < adding * (1 + catalogue.shop.direct)))
    buys = rng.random(len(added)) < clients.buying[client[added]]
    removes = ~buys & (rng.random(len(added)) < clients.removing[client[added]])
    bought, removed = np.concatenate([added[buys], direct]), added[removes]
    inside = (0.2 + 0.6 * rng.random(len(added))) * (views.left - views.seen)[added]
    cart = views.end + _seconds(rng, len(views.end), 2, 15)
    checkout = cart + _seconds(rng, len(cart), 60, 120)
    times = {
        "product_buy": (bought, checkout[views.session[bought]]),
        "add_to_cart": (added, views.seen[added] + inside.astype(np.int64)),
        "remove_from_cart": (
            removed,
            cart[views.session[removed]] + rng.integers(3, 45, len(removed)),
        ),
    }
    with_cart = np.unique(views.session[added])
    return {
        **{
            name: (views.session[view], time, {"sku": catalogue.sku[views.product[view]]})
            for name, (view, time) in times.items()
        },
        "page_visit": _draw_visits(rng, catalogue, sessions, views, with_cart, cart[with_cart]),
    }


def _draw_visits(
    rng: np.random.Generator,
    catalogue: Catalogue,
    sessions: Sessions,
    views: ProductViews,
    with_cart: np.ndarray,
    cart: np.ndarray,
) -> Rows:
    """Draw visits to entrances, listings, products and the cart."""
    shop = catalogue.shop
    entrance = rng.random(len(sessions.start))
    home, other = shop.entrances
    by_home = np.flatnonzero(entrance < home)
    by_other = np.flatnonzero((entrance >= home) & (entrance < home + other))
    others = Weighted.zipf(np.array([shop.other_pages]), shop.page_tail)
    other_page = FIRST_OTHER_PAGE + others.draw(rng, np.zeros(len(by_other), np.int64))
    listed = np.flatnonzero(views.by_listing)
    pages = Weighted.zipf(np.array([shop.category_pages]), shop.page_tail)
    page = pages.draw(rng, np.zeros(len(listed), np.int64))
    category = catalogue.category[views.product[listed]]
    listing = catalogue.category_url[category, page]
    if shop.filtered:
        filtered = np.flatnonzero(rng.random(len(listed)) < shop.filtered)
        listing[filtered] = catalogue.filtered.draw(rng, category[filtered])
    parts = (
        (by_home, sessions.start[by_home], catalogue.other_url[[HOME_PAGE]].repeat(len(by_home))),
        (by_other, sessions.start[by_other], catalogue.other_url[other_page]),
        (views.session[listed], views.arrived[listed], listing),
        (views.session, views.seen, catalogue.product_url[views.product]),
        (with_cart, cart, catalogue.other_url[[CART_PAGE]].repeat(len(with_cart))),
    )
    session, time, url = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return session, time, {"url": url}


def _draw_queries(
    rng: np.random.Generator, catalogue: Catalogue, product: np.ndarray
) -> np.ndarray:
    """Draw queries for products: mostly a phrase for the category, otherwise the name."""
    shop = catalogue.shop
    phrases = Weighted.zipf(np.array([shop.category_phrases]), shop.page_tail)
    phrase = phrases.draw(rng, np.zeros(len(product), np.int64))
    query = catalogue.phrases[catalogue.category[product], phrase]
    by_name = rng.random(len(product)) < shop.naming
    query[by_name] = catalogue.name[product[by_name]]
    return query


def _sorted(
    catalogue: Catalogue,
    clients: Clients,
    client: np.ndarray,
    time: np.ndarray,
    columns: Columns,
) -> Columns:
    """Sort events by client and time, and drop those after the end of the log."""
    key = client * (2 * catalogue.seconds) + time
    order = np.argsort(key, kind="stable")
    order = order[time[order] < catalogue.seconds]
    kept = {name: values[order] for name, values in columns.items()}
    return {"client_id": clients.ids[client[order]], "timestamp": time[order], **kept}


def _seconds(rng: np.random.Generator, size: int, least: int, mean_more: float) -> np.ndarray:
    """Draw durations in seconds."""
    return least + (mean_more * rng.standard_exponential(size)).astype(np.int64)
