"""iALS over the pages that clients visited (paper, section 3.2.1)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ubp_platform.blocks.ials import IALS


class IALSPageVisits(IALS):
    """Taste in pages, from the URLs that a client visited.

    A visit weighs 1, and adds a quarter of the confidence that a unit has in Hu, Koren and Volinsky
    (an ``alpha`` of 10, not 40): pages are looked at by the way, and a few again and again, which
    with more confidence outweigh all others. With 10 the pages that a client will visit next are
    ranked better, and ``1 + alpha`` still exceeds ``regularization``.

    A shop has far more pages than categories, and most are visited once or twice. The presets keep
    those of most visits: a million pages are 256 MB of weights, the 12.7 million of the RecSys
    Challenge 2025 would be 3.3 GB.

    Its parameters are those of :class:`~ubp_platform.blocks.ials.IALS`.
    """

    name = "ials_page_visits"
    section = "3.2.1"
    needs = ("page_visit",)
    item = "url"
    weights: ClassVar[Mapping[str, float]] = {"page_visit": 1}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"items": 20_000, "alpha": 10},
        "paper": {"items": 1_000_000, "alpha": 10},
    }
