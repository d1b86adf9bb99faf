"""Sessions of clients in a simulated shop: when they come, what they look at, what they do.

All of a chunk of clients at once: sessions first, then the products looked at in these, and from
that the rows of the five event types.
"""

from dataclasses import dataclass

import numpy as np

from ubp_platform.simulation.catalogue import (
    CART_PAGE,
    FIRST_OTHER_PAGE,
    HOME_PAGE,
    SECONDS_A_DAY,
    Catalogue,
    Weighted,
    choose_products,
)
from ubp_platform.simulation.clients import WEEKDAYS, Clients

Columns = dict[str, np.ndarray]
# Session, time and columns.
Rows = tuple[np.ndarray, np.ndarray, Columns]


@dataclass(frozen=True)
class Sessions:
    """When the clients come, and for what; by client, then by time.

    Parameters
    ----------
    client : ndarray of int64, shape (n,)
        Position in the chunk.
    start : ndarray of int64, shape (n,)
        Second of the log.
    interest, epoch : ndarray of int64, shape (n,)
        Which of the client's interests brought it; -1 where it just explores.
    category : ndarray of int64, shape (n,)
        The intent.
    """

    client: np.ndarray
    start: np.ndarray
    interest: np.ndarray
    epoch: np.ndarray
    category: np.ndarray


@dataclass(frozen=True)
class Looks:
    """Products looked at: by session, then by time.

    Parameters
    ----------
    session, product : ndarray of int64, shape (n,)
    arrived, seen, left : ndarray of int64, shape (n,)
        When the client began to look for the product, saw its page, and had done with it.
    by_query, by_listing : ndarray of bool, shape (n,)
        How it was found; neither: by a link.
    end : ndarray of int64, shape (n_sessions,)
        When the last product of each session was done with.
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
    """Draw when clients come, and for what.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    clients : Clients

    Returns
    -------
    Sessions
    """
    shop, n = catalogue.shop, len(clients.ids)
    lifetime = clients.gone - clients.born + 1
    counts = 1 + rng.poisson(clients.rate * lifetime)
    client = np.repeat(np.arange(n), counts)
    size = len(client)
    day = clients.born[client] + (rng.random(size) * lifetime[client]).astype(np.int64)
    # The same week, on a weekday that suits the client. The log ends with a Sunday.
    weekday = (rng.random(size)[:, None] > clients.weekdays[client]).sum(axis=1)
    suits = day - (day - catalogue.days) % WEEKDAYS + weekday
    day = np.where((suits >= clients.born[client]) & (suits <= clients.gone[client]), suits, day)
    hour = (clients.hour[client] + rng.normal(0, 2, size)) % 24
    second = np.minimum(hour * 3600, SECONDS_A_DAY - 1).astype(np.int64)
    key = np.sort(client * catalogue.seconds + day * SECONDS_A_DAY + second)
    client, start = np.divmod(key, catalogue.seconds)
    interest = (rng.random(size)[:, None] > clients.weight[client]).sum(axis=1)
    epoch = start / (shop.interest_days * SECONDS_A_DAY) + clients.phase[client, interest]
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


def draw_looks(
    rng: np.random.Generator, catalogue: Catalogue, clients: Clients, sessions: Sessions
) -> Looks:
    """Draw the products that are looked at in each session.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    clients : Clients
    sessions : Sessions

    Returns
    -------
    Looks
    """
    shop = catalogue.shop
    counts = rng.geometric(1 / shop.views, len(sessions.start))
    session = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    client, size = sessions.client[session], int(counts.sum())
    category = sessions.category[session]
    off = np.flatnonzero(rng.random(size) >= shop.focus)
    category[off] = catalogue.categories.draw(rng, catalogue.department[category[off]])
    product = choose_products(
        rng, catalogue, category, clients.level[client], sessions.start[session]
    )
    back = (rng.random(size) < shop.returning) & (sessions.interest[session] >= 0)
    back[off] = False
    where = session[back]
    product[back] = clients.favourite[
        client[back],
        sessions.interest[where],
        sessions.epoch[where],
        rng.integers(0, shop.favourites, len(where)),
    ]
    found = rng.random(size)
    by_query = found < clients.searching[client]
    by_listing = ~by_query & (rng.random(size) < shop.browsing)
    finding = np.where(by_query | by_listing, _seconds(rng, size, 5, 25), 0)
    staying = _seconds(rng, size, 8, 50)
    passed = np.cumsum(finding + staying)
    before = passed[first] - (finding + staying)[first]
    left = passed - before[session] + (sessions.start + _seconds(rng, len(counts), 3, 10))[session]
    return Looks(
        session=session,
        product=product,
        arrived=left - staying - finding,
        seen=left - staying,
        left=left,
        by_query=by_query,
        by_listing=by_listing,
        end=left[first + counts - 1],
    )


def draw_events(
    rng: np.random.Generator, catalogue: Catalogue, clients: Clients
) -> dict[str, Columns]:
    """Draw all that clients do.

    Parameters
    ----------
    rng : Generator
    catalogue : Catalogue
    clients : Clients

    Returns
    -------
    dict of str to dict of str to ndarray
        Of each event type the columns of its table, by client and then by time; ``timestamp`` in
        seconds of the log.
    """
    sessions = draw_sessions(rng, catalogue, clients)
    looks = draw_looks(rng, catalogue, clients, sessions)
    rows = _actions(rng, catalogue, clients, sessions, looks)
    asked = np.flatnonzero(looks.by_query)
    query = _queries(rng, catalogue, looks.product[asked])
    rows["search_query"] = looks.session[asked], looks.arrived[asked], {"query": query}
    return {
        name: _in_order(catalogue, clients, sessions.client[session], time, columns)
        for name, (session, time, columns) in rows.items()
    }


def _actions(
    rng: np.random.Generator,
    catalogue: Catalogue,
    clients: Clients,
    sessions: Sessions,
    looks: Looks,
) -> dict[str, Rows]:
    """Add to the cart, go there, remove or buy; what is left is forgotten."""
    client = sessions.client[looks.session]
    chance, adding = rng.random(len(client)), clients.adding[client]
    added = np.flatnonzero(chance < adding)
    # At once, without a cart.
    direct = np.flatnonzero((chance >= adding) & (chance < adding * (1 + catalogue.shop.direct)))
    likes = rng.random(len(added)) < clients.buying[client[added]]
    regrets = ~likes & (rng.random(len(added)) < clients.removing[client[added]])
    bought, removed = np.concatenate([added[likes], direct]), added[regrets]
    inside = (0.2 + 0.6 * rng.random(len(added))) * (looks.left - looks.seen)[added]
    cart = looks.end + _seconds(rng, len(looks.end), 2, 15)
    checkout = cart + _seconds(rng, len(cart), 60, 120)
    times = {
        "product_buy": (bought, checkout[looks.session[bought]]),
        "add_to_cart": (added, looks.seen[added] + inside.astype(np.int64)),
        "remove_from_cart": (
            removed,
            cart[looks.session[removed]] + rng.integers(3, 45, len(removed)),
        ),
    }
    with_cart = np.unique(looks.session[added])
    return {
        **{
            name: (looks.session[look], time, {"sku": catalogue.sku[looks.product[look]]})
            for name, (look, time) in times.items()
        },
        "page_visit": _visits(rng, catalogue, sessions, looks, with_cart, cart[with_cart]),
    }


def _visits(
    rng: np.random.Generator,
    catalogue: Catalogue,
    sessions: Sessions,
    looks: Looks,
    with_cart: np.ndarray,
    cart: np.ndarray,
) -> Rows:
    """Visit entrances, listings, products and the cart."""
    shop = catalogue.shop
    entrance = rng.random(len(sessions.start))
    home, other = shop.entrances
    by_home = np.flatnonzero(entrance < home)
    by_other = np.flatnonzero((entrance >= home) & (entrance < home + other))
    others = Weighted.zipf(np.array([shop.other_pages]), shop.page_tail)
    other_page = FIRST_OTHER_PAGE + others.draw(rng, np.zeros(len(by_other), np.int64))
    listed = np.flatnonzero(looks.by_listing)
    pages = Weighted.zipf(np.array([shop.category_pages]), shop.page_tail)
    page = pages.draw(rng, np.zeros(len(listed), np.int64))
    category = catalogue.category[looks.product[listed]]
    listing = catalogue.category_url[category, page]
    if shop.filtered:
        narrow = np.flatnonzero(rng.random(len(listed)) < shop.filtered)
        listing[narrow] = catalogue.filtered.draw(rng, category[narrow])
    parts = (
        (by_home, sessions.start[by_home], catalogue.other_url[[HOME_PAGE]].repeat(len(by_home))),
        (by_other, sessions.start[by_other], catalogue.other_url[other_page]),
        (looks.session[listed], looks.arrived[listed], listing),
        (looks.session, looks.seen, catalogue.product_url[looks.product]),
        (with_cart, cart, catalogue.other_url[[CART_PAGE]].repeat(len(with_cart))),
    )
    session, time, url = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return session, time, {"url": url}


def _queries(rng: np.random.Generator, catalogue: Catalogue, product: np.ndarray) -> np.ndarray:
    """Ask for products: mostly by a phrase for the category, else by the name."""
    shop = catalogue.shop
    ways = Weighted.zipf(np.array([shop.category_phrases]), shop.page_tail)
    phrase = ways.draw(rng, np.zeros(len(product), np.int64))
    query = catalogue.phrases[catalogue.category[product], phrase]
    by_name = rng.random(len(product)) < shop.naming
    query[by_name] = catalogue.name[product[by_name]]
    return query


def _in_order(
    catalogue: Catalogue,
    clients: Clients,
    client: np.ndarray,
    time: np.ndarray,
    columns: Columns,
) -> Columns:
    """Put events by client and time; what is after the end of the log is not in it."""
    key = client * (2 * catalogue.seconds) + time
    order = np.argsort(key, kind="stable")
    order = order[time[order] < catalogue.seconds]
    kept = {name: values[order] for name, values in columns.items()}
    return {"client_id": clients.ids[client[order]], "timestamp": time[order], **kept}


def _seconds(rng: np.random.Generator, size: int, least: int, mean_more: float) -> np.ndarray:
    """Draw whole seconds of a stay."""
    return least + (mean_more * rng.standard_exponential(size)).astype(np.int64)
