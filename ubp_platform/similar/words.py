"""Features in plain words, and their values in their own units."""

_EVENTS = {
    "buy": ("purchase", "purchases"),
    "add": ("addition to the cart", "additions to the cart"),
    "remove": ("removal from the cart", "removals from the cart"),
    "visit": ("page visit", "page visits"),
}
_OF_EVENTS = {
    "total": "{many}",
    "7d": "{many} in 7 days",
    "30d": "{many} in 30 days",
    "change_7d": "change of {many}, 7 days",
    "change_30d": "change of {many}, 30 days",
    "interval_days": "days between {many}",
    "first_days": "days since the first {one}",
    "last_days": "days since the last {one}",
}
_OTHERS = {
    "distinct_skus": "different products",
    "distinct_categories": "different categories",
    "distinct_urls": "different pages",
    "sku_popularity": "popularity of the products",
    "url_popularity": "popularity of the pages",
    "price_mean": "mean price",
    "price_std": "spread of the prices",
    "price_total": "spent",
    "cart_abandonment": "days with an addition and no purchase",
    "added_skus_bought": "added products that were bought",
    "added_categories_bought": "added categories that were bought from",
    "active_weeks": "active weeks",
    "active_days": "active days",
    "events": "events",
    "last_days": "days since the last event",
}
_SHARES = ("cart_abandonment", "added_skus_bought", "added_categories_bought")
# What never happened is as long ago as this.
_NEVER = 3650


def label(feature: str) -> str:
    """Return what a feature is.

    Examples
    --------
    >>> label("buy_last_days"), label("price_total"), label("my_own")
    ('days since the last purchase', 'spent', 'my own')
    """
    kind, _, rest = feature.partition("_")
    if kind in _EVENTS and rest in _OF_EVENTS:
        one, many = _EVENTS[kind]
        return _OF_EVENTS[rest].format(one=one, many=many)
    return _OTHERS.get(feature, feature.replace("_", " "))


def share(value: float) -> str:
    """Return a share of clients, which is all of them or none only if that is so.

    Examples
    --------
    >>> share(0.5), share(0.999), share(0.0001), share(1), share(0)
    ('50%', '>99%', '<1%', '100%', '0%')
    """
    if 0.995 <= value < 1:
        return ">99%"
    return "<1%" if 0 < value < 0.005 else f"{value:.0%}"


def shown(feature: str, value: float) -> str:
    """Return a feature's value in its own unit.

    Examples
    --------
    >>> shown("buy_total", 1200), shown("buy_last_days", 3650), shown("buy_change_7d", -0.25)
    ('1,200', 'never', '-25%')
    >>> shown("cart_abandonment", 0.5), shown("price_mean", 3.14159)
    ('50%', '3.14')
    """
    if feature.endswith("_days") and value >= _NEVER:
        return "too few" if "interval" in feature else "never"
    if "_change_" in feature:
        return f"{value:+.0%}"
    if feature in _SHARES:
        return f"{value:.0%}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"
