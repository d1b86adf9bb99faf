"""``ubp blocks``: each block of the platform, and its newest fit in this home."""

from typing import Any

from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.events.schema import EVENT_TYPES, PRODUCT_EVENTS
from ubp_platform.home import Home


def blocks(home: Home) -> list[dict[str, Any]]:
    """Describe all blocks, in the order of the profile.

    Parameters
    ----------
    home : Home

    Returns
    -------
    list of dict
        JSON-ready; ``version`` and what follows it are None where the block is not fitted.
    """
    catalog, described = Catalog(home), []
    for name in block_names():
        block = block_class(name)
        newest = catalog.newest(name)
        snapshots = catalog.snapshots(name, newest.version) if newest else []
        width = snapshots[-1].width if snapshots else None
        described.append(
            {
                "name": name,
                "section": block.section,
                "needs": list(block.needs),
                "components": block.principal_components,
                "width": width,
                "version": newest.version if newest else None,
                "fit_cutoff": newest.report.cutoff.isoformat() if newest else None,
                "loss": newest.report.loss if newest else None,
                "seconds": newest.report.seconds if newest else None,
                "note": newest.report.note if newest else None,
            }
        )
    return described


def reads(needs: list[str]) -> str:
    """Abbreviate the event types that a block reads.

    Examples
    --------
    >>> reads(["product_buy", "add_to_cart"])
    'buy, add'
    """
    if set(needs) == set(EVENT_TYPES):
        return "all"
    words = {
        "product_buy": "buy",
        "add_to_cart": "add",
        "page_visit": "visits",
        "search_query": "searches",
    }
    if set(PRODUCT_EVENTS) <= set(needs):
        words |= {PRODUCT_EVENTS[0]: "products", **dict.fromkeys(PRODUCT_EVENTS[1:], "")}
    return ", ".join(words[name] for name in needs if words[name])
