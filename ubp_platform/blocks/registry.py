"""Which blocks there are: those of this package, and those that other packages register.

A package registers a block by an entry point of the group ``ubp_platform.blocks``::

    [project.entry-points."ubp_platform.blocks"]
    hours = "my_package.hours:Hours"
"""

import fnmatch
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from ubp_platform.blocks.base import Block
from ubp_platform.choices import ProfileKind
from ubp_platform.errors import UBPError, first_line
from ubp_platform.events.schema import EVENT_TYPES

GROUP = "ubp_platform.blocks"
# The built-in ones, in the order of the profile. A new block is one new file and one line here.
REGISTRY = {
    "future_window": "ubp_platform.blocks.future_window:FutureWindow",
    "counters": "ubp_platform.blocks.counters:Counters",
    "item_scores": "ubp_platform.blocks.item_scores:ItemScores",
    "ials_categories": "ubp_platform.blocks.ials:IALSCategories",
    "ials_page_visits": "ubp_platform.blocks.ials_page_visits:IALSPageVisits",
    "lightfm": "ubp_platform.blocks.lightfm:LightFMBlock",
    "next_product": "ubp_platform.blocks.next_product:NextProduct",
    "next_url": "ubp_platform.blocks.next_url:NextURL",
    "gru_ae_day_event_type": "ubp_platform.blocks.gru_ae_day_event_type:GRUAEDayEventType",
    "gru_ae_all": "ubp_platform.blocks.gru_ae_all:GRUAEAll",
    "gru_ae_week_all": "ubp_platform.blocks.gru_ae_week_all:GRUAEWeekAll",
    "gru_ae_sku_text": "ubp_platform.blocks.gru_ae_sku_text:GRUAESkuText",
    "lm_all_interactions": "ubp_platform.blocks.lm_all_interactions:LMAllInteractions",
    "lm_search_queries": "ubp_platform.blocks.lm_search_queries:LMSearchQueries",
    "handcrafted": "ubp_platform.blocks.handcrafted:Handcrafted",
}

_NEW = ("future_window", "counters", "item_scores")
#: Which blocks a profile is made of, where none are named: those that are worth their minutes
#: (docs/notes/results.md), or the paper's twelve.
PROFILES: dict[ProfileKind, tuple[str, ...]] = {
    "default": _NEW,
    "paper": tuple(name for name in REGISTRY if name not in _NEW),
}


def block_names() -> tuple[str, ...]:
    """Name all blocks in the order of the profile; those of other packages come last, by name."""
    return tuple(registered())


@cache
def registered() -> dict[str, str]:
    """Find all blocks: where the class is, ``module:Class``, by the block's name.

    Raises
    ------
    UBPError
        If a package registers a name that is taken, or that is none.
    """
    found = dict(REGISTRY)
    origin: dict[str, str] = dict.fromkeys(REGISTRY, "ubp-platform")
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        package = _package(entry)
        if entry.value == found.get(entry.name):
            continue  # The same package, found twice on the path.
        # Names of files, and of views: small and capital letters are the same.
        if entry.name.lower() in map(str.lower, found):
            raise UBPError(
                f"the packages {origin[entry.name.lower()]} and {package} both register a block "
                f"{entry.name!r}: uninstall one of them"
            )
        if not entry.name.isidentifier() or entry.name.startswith("profile_"):
            raise UBPError(
                f"the package {package} registers a block {entry.name!r}: a name has letters, "
                "digits and underscores, and does not begin with profile_"
            )
        found[entry.name], origin[entry.name.lower()] = entry.value, package
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def profile_blocks(profile: ProfileKind, patterns: Sequence[str] = ()) -> list[str]:
    """Name the blocks of a kind of profile, in their order.

    Parameters
    ----------
    profile : {"default", "paper"}
        The blocks of other packages belong to ``default``.
    patterns : sequence of str
        Name the blocks in its place, see :func:`matching`.

    Raises
    ------
    UBPError
        If a pattern matches no block.
    """
    if patterns:
        return matching(patterns)
    wanted = set(PROFILES[profile])
    if profile == "default":
        wanted |= registered().keys() - REGISTRY.keys()
    return [name for name in block_names() if name in wanted]


def matching(patterns: Iterable[str]) -> list[str]:
    """Name the blocks that match any of some patterns, in the order of the profile.

    Parameters
    ----------
    patterns : iterable of str
        Names, or patterns such as ``gru_*``.

    Raises
    ------
    UBPError
        If a pattern matches no block.

    Examples
    --------
    >>> matching(["lm_*", "handcrafted"])
    ['lm_all_interactions', 'lm_search_queries', 'handcrafted']
    """
    found = set()
    for pattern in patterns:
        matched = fnmatch.filter(block_names(), pattern)
        if not matched:
            raise _no_block(pattern)
        found.update(matched)
    return [name for name in block_names() if name in found]


def block_class(name: str) -> type[Block]:
    """Find a block by its name.

    Raises
    ------
    UBPError
        If there is no such block, or the package that registers it cannot be loaded.
    """
    if name not in registered():
        raise _no_block(name)
    place = registered()[name]
    if name in REGISTRY:
        return _load(place)
    try:
        found = _load(place)
    except (Exception, SystemExit) as error:  # whatever other people's modules raise
        raise UBPError(
            f"the block {name} ({place}) cannot be loaded: {type(error).__name__}: "
            f"{first_line(error)}; uninstall its package, or `ubp train --skip {name}`"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Block) and found.name == name):
        raise UBPError(f"{place} is registered as the block {name}, but is no Block of that name")
    needs = getattr(found, "needs", None)
    if not isinstance(needs, tuple) or not needs or not set(needs) <= {*EVENT_TYPES}:
        raise UBPError(
            f"the block {name} ({place}): needs must be a tuple of event types, of "
            f"{', '.join(EVENT_TYPES)}; it is {needs!r}"
        )
    if found.normalization not in ("unit", "quantile"):
        raise UBPError(
            f"the block {name} ({place}): normalization must be 'unit' or 'quantile', not "
            f"{found.normalization!r}"
        )
    return found


def _load(place: str) -> type[Block]:
    module, attribute = place.split(":")
    found: type[Block] = getattr(import_module(module), attribute)
    return found


def _no_block(name: str) -> UBPError:
    return UBPError(f"no block is called {name!r}; there are {', '.join(block_names())}")
