"""The registry of blocks: those of this package, and those that other packages register.

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
# The built-in blocks, in the order of the profile. A new block is a new file and a line here.
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

_DEFAULT = ("future_window", "counters", "item_scores")
_PAPER = (
    "ials_categories",
    "ials_page_visits",
    "lightfm",
    "next_product",
    "next_url",
    "gru_ae_day_event_type",
    "gru_ae_all",
    "gru_ae_week_all",
    "gru_ae_sku_text",
    "lm_all_interactions",
    "lm_search_queries",
    "handcrafted",
)
#: The blocks of a profile where none are named: those that are worth their fitting time
#: (docs/notes/results.md), or the paper's twelve.
PROFILES: dict[ProfileKind, tuple[str, ...]] = {
    "default": _DEFAULT,
    "paper": _PAPER,
}


def block_names() -> tuple[str, ...]:
    """Return all block names in the order of the profile; those of other packages come last."""
    return tuple(registered())


@cache
def registered() -> dict[str, str]:
    """Return the class of each block, as ``module:Class``, by the block's name.

    Raises
    ------
    UBPError
        If a package registers a name that is taken or invalid.
    """
    classes = dict(REGISTRY)
    origin: dict[str, str] = dict.fromkeys(REGISTRY, "ubp-platform")
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        package = _package(entry)
        if entry.value == classes.get(entry.name):
            continue  # The same package is on the path twice.
        # Case-insensitive, as names of files and views are.
        if entry.name.lower() in map(str.lower, classes):
            raise UBPError(
                f"the packages {origin[entry.name.lower()]} and {package} both register a block "
                f"{entry.name!r}: uninstall one of them"
            )
        if not entry.name.isidentifier() or entry.name.startswith("profile_"):
            raise UBPError(
                f"the package {package} registers a block {entry.name!r}: a name consists of "
                "letters, digits and underscores, and must not begin with profile_"
            )
        classes[entry.name], origin[entry.name.lower()] = entry.value, package
    return classes


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def profile_blocks(profile: ProfileKind, patterns: Sequence[str] = ()) -> list[str]:
    """Return the names of a profile's blocks, in their order.

    Parameters
    ----------
    profile : {"default", "paper"}
        Blocks of other packages belong to ``default``.
    patterns : sequence of str
        The blocks to return instead; see :func:`matching`.

    Raises
    ------
    UBPError
        If a pattern matches no block.
    """
    if patterns:
        return matching(patterns)
    names = set(PROFILES[profile])
    if profile == "default":
        names |= registered().keys() - REGISTRY.keys()
    return [name for name in block_names() if name in names]


def matching(patterns: Iterable[str]) -> list[str]:
    """Return the blocks that match any name or pattern, in the order of the profile.

    Raises
    ------
    UBPError
        If a pattern matches no block.

    Examples
    --------
    >>> matching(["lm_*", "handcrafted"])
    ['lm_all_interactions', 'lm_search_queries', 'handcrafted']
    """
    names: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(block_names(), pattern)
        if not matches:
            raise _no_block(pattern)
        names.update(matches)
    return [name for name in block_names() if name in names]


def block_class(name: str) -> type[Block]:
    """Return the class of a block.

    Raises
    ------
    UBPError
        If there is no such block, or the package that registers it cannot be loaded.
    """
    if name not in registered():
        raise _no_block(name)
    path = registered()[name]
    if name in REGISTRY:
        return _load(path)
    try:
        cls = _load(path)
    except (Exception, SystemExit) as error:  # modules of other packages may raise anything
        raise UBPError(
            f"the block {name} ({path}) cannot be loaded: {type(error).__name__}: "
            f"{first_line(error)}; uninstall its package, or `ubp train --skip {name}`"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Block) and cls.name == name):
        raise UBPError(f"{path} is registered as the block {name}, but is not a Block of that name")
    needs = getattr(cls, "needs", None)
    if not isinstance(needs, tuple) or not needs or not set(needs) <= {*EVENT_TYPES}:
        raise UBPError(
            f"the block {name} ({path}): needs must be a tuple of event types, of "
            f"{', '.join(EVENT_TYPES)}; it is {needs!r}"
        )
    if cls.normalization not in ("unit", "quantile"):
        raise UBPError(
            f"the block {name} ({path}): normalization must be 'unit' or 'quantile', not "
            f"{cls.normalization!r}"
        )
    return cls


def _load(path: str) -> type[Block]:
    module, attribute = path.split(":")
    cls: type[Block] = getattr(import_module(module), attribute)
    return cls


def _no_block(name: str) -> UBPError:
    return UBPError(f"no block is called {name!r}; there are {', '.join(block_names())}")
