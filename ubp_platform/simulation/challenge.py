"""A log with the size and shape of that of RecSys Challenge 2025, at any scale.

The challenge's numbers are from Klenitskiy, Fatkulgin, Denisova, Pembek and Vasilev, "Encode Me If
You Can" (RecSys Challenge 2025), table 1. ``docs/reference/simulator.md`` compares the
simulated ones.
"""

from dataclasses import dataclass

from ubp_platform.choices import LogName
from ubp_platform.errors import UBPError
from ubp_platform.simulation.shop import Shop

#: Rows of each event type.
ROWS = {
    "product_buy": 1_775_394,
    "add_to_cart": 5_674_064,
    "remove_from_cart": 1_937_170,
    "page_visit": 156_032_014,
    "search_query": 10_218_831,
}
CLIENTS = 18_435_078
#: Number of relevant clients.
RELEVANT = 1_000_000
#: Number of distinct URLs visited.
URLS = 12_650_786
SKUS = 1_200_000
DAYS = 170

#: A client's rates are the same at every scale; SKUs and URLs grow with the clients.
CHALLENGE = Shop(
    products_scale=SKUS / CLIENTS,
    products_power=1,
    product_tail=0.8,
    category_pages=8,
    filtered=0.8,
    filtered_pages=2,
    filtered_tail=0.8,
    sessions_a_day=0.0625,
    sessions_spread=1.4,
    newcomers=0.85,
    dropout_a_day=1 / 20,
    dropout_shape=0.4,
    discontent=2,
    interests=2,
    interest_days=100,
    favourites=1,
    views=1.4,
    entrances=(0.12, 0.05),
    browsing=0.35,
    searchers=0.11,
    searching=(0.51, 0.001),
    regulars=0.5,
    adding=0.0575,
    adding_shape=0.1,
    buying=0.265,
    removing=0.63,
)


@dataclass(frozen=True)
class LogPlan:
    """Arguments of :func:`ubp_platform.simulation.simulator.simulate`.

    Parameters
    ----------
    clients, days : int
    shop : Shop, optional
        None is the default shop.
    relevant : int
        How many clients to list as relevant.
    """

    clients: int = 3000
    days: int = 100
    shop: Shop | None = None
    relevant: int = 0


def plan(
    like: LogName | None = None,
    scale: float | None = None,
    clients: int | None = None,
    days: int | None = None,
) -> LogPlan:
    """Plan a log with given numbers of clients and days, or one like another log.

    Parameters
    ----------
    like : {"challenge"}, optional
        The log to imitate, with its own numbers of clients and days.
    scale : float, optional
        Share of that log, above 0 to 1; all of it by default.
    clients, days : int, optional
        By default those of :class:`LogPlan`.

    Raises
    ------
    UBPError
        If the scale is out of range, or options exclude each other.

    Examples
    --------
    >>> plan("challenge", 0.1).clients
    1843508
    >>> plan(days=30).clients
    3000
    """
    if like is None:
        if scale is not None:
            raise UBPError("--scale is a share of another log: use it with --like challenge")
        return LogPlan(
            clients=LogPlan.clients if clients is None else clients,
            days=LogPlan.days if days is None else days,
        )
    if clients is not None or days is not None:
        raise UBPError(
            "--like challenge has its own numbers of clients and days: use --scale, and neither "
            "--clients nor --days"
        )
    share = 1.0 if scale is None else scale
    if not 0 < share <= 1:
        raise UBPError(f"a scale is above 0 and at most 1, not {share:g}")
    return LogPlan(
        clients=max(1, round(share * CLIENTS)),
        days=DAYS,
        shop=CHALLENGE,
        relevant=max(1, round(share * RELEVANT)),
    )
