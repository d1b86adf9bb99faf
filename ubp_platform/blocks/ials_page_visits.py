"""iALS over the pages that clients visited (paper, section 3.2.1)."""

from collections.abc import Mapping
from typing import ClassVar

from ubp_platform.blocks.ials import IALS


class IALSPageVisits(IALS):
    """Taste in pages, from the URLs that a client visited.

    A visit weighs 1, with an ``alpha`` of 10 instead of the 40 of Hu, Koren and Volinsky: visits
    are weak evidence, and a few pages that are visited again and again would outweigh all others.
    With 10 the next pages are ranked better, and ``1 + alpha`` still exceeds ``regularization``.

    A shop has far more pages than categories, and most have one or two visits. The presets keep the
    most visited ones: a million pages are 256 MB of weights, the 12.7 million of the RecSys
    Challenge 2025 would be 3.3 GB.

    Its parameters are those of :class:`~ubp_platform.blocks.ials.IALS`.
    """

    name = "ials_page_visits"
    section = "3.2.1"
    needs = ("page_visit",)
    item = "url"
    weights: ClassVar[Mapping[str, float]] = {"page_visit": 1}
    presets = {  # noqa: RUF012
        "small": {"items": 20_000, "alpha": 10},
        "paper": {"items": 1_000_000, "alpha": 10},
    }
