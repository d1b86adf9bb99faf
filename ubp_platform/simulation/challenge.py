"""A shop with a log of the size and the shape of that of RecSys Challenge 2025, at any scale.

The challenge's numbers are those of Klenitskiy, Fatkulgin, Denisova, Pembek and Vasilev, "Encode Me
If You Can" (RecSys Challenge 2025), table 1. How near the simulated ones are is told in
``docs/reference/simulator.md``.
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
#: The clients whose profiles are asked for.
RELEVANT = 1_000_000
#: Distinct URLs that are visited.
URLS = 12_650_786
SKUS = 1_200_000
DAYS = 170

#: Rates of a client are the same at every scale; skus and URLs grow with the clients.
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
class Plan:
    """What :func:`ubp_platform.simulation.simulator.simulate` is asked for.

    Parameters
    ----------
    clients, days : int
    shop : Shop, optional
        The default one is None.
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
) -> Plan:
    """Plan a log of so many clients and days, or one like another log.

    Parameters
    ----------
    like : {"challenge"}, optional
        ``challenge``; it has its own number of clients and days.
    scale : float, optional
        A part of that log, above 0 to 1; all of it by default.
    clients, days : int, optional
        By default those of :class:`Plan`.

    Returns
    -------
    Plan

    Raises
    ------
    UBPError
        If there is no such log, the scale is out of its range, or the options exclude each other.

    Examples
    --------
    >>> plan("challenge", 0.1).clients
    1843508
    >>> plan(days=30).clients
    3000
    """
    if like is None:
        if scale is not None:
            raise UBPError("--scale is a part of another log: it goes with --like challenge")
        return Plan(
            Plan.clients if clients is None else clients, Plan.days if days is None else days
        )
    if clients is not None or days is not None:
        raise UBPError(
            "--like challenge says how many clients and days there are: use --scale, and neither "
            "--clients nor --days"
        )
    part = 1.0 if scale is None else scale
    if not 0 < part <= 1:
        raise UBPError(f"a scale is above 0 and at most 1, not {part:g}")
    number, relevant = (max(1, round(part * whole)) for whole in (CLIENTS, RELEVANT))
    return Plan(number, DAYS, CHALLENGE, relevant)
