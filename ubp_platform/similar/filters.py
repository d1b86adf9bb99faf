"""Conditions on the facts of clients, such as ``buy_30d>=2`` or ``category=Tables``."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow.compute as pc

from ubp_platform.errors import BadRequest
from ubp_platform.events.integer_ids import is_text
from ubp_platform.similar.facts import Facts

_FORM = re.compile(r"\s*(\w+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_CATEGORY = "category"


@dataclass(frozen=True)
class Condition:
    """A comparison of one fact with a value.

    Parameters
    ----------
    name : str
        A handcrafted feature, ``events``, ``last_days`` or ``category``.
    comparison : str
        ``<``, ``<=``, ``>``, ``>=``, ``=`` or ``!=``.
    value : str
    """

    name: str
    comparison: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition.

        Raises
        ------
        BadRequest
            If it has another form.

        Examples
        --------
        >>> Condition.parse("buy_30d >= 2")
        Condition(name='buy_30d', comparison='>=', value='2')
        """
        found = _FORM.fullmatch(text)
        if not found or not found[3] or not is_text(text):
            raise BadRequest(
                f"the filter {text[:80]!r} is no condition: write one as buy_30d>=2, last_days<30 "
                "or category=Tables, with one of < <= > >= = !="
            )
        return cls(*found.groups())

    def holds(self, facts: Facts, cutoff: datetime) -> np.ndarray:
        """Say of each slot whether the condition holds: bool.

        Raises
        ------
        BadRequest
            If there is no such fact, or the value is no number where one is needed.
        """
        if self.name == _CATEGORY:
            return self._likes(facts)
        numbers = facts.numbers(self.name, cutoff)
        if numbers is None:
            names = ", ".join((_CATEGORY, "last_days", "events", *facts.features))
            raise BadRequest(f"there is no {self.name[:80]!r} to filter by; there are {names}")
        try:
            value = float(self.value)
            if math.isnan(value):
                raise ValueError
        except ValueError:
            raise BadRequest(
                f"the filter {self.name}{self.comparison}{self.value[:80]} needs a number, after "
                "one of < <= > >= = !="
            ) from None
        with np.errstate(invalid="ignore"):  # NaN, of clients without it
            return _COMPARE[self.comparison](numbers, value) & ~np.isnan(numbers)

    def _likes(self, facts: Facts) -> np.ndarray:
        """Say of each slot whether a category is among the client's favourites."""
        if self.comparison not in ("=", "!="):
            raise BadRequest("a filter by category is category=WORD or category!=WORD")
        found = np.zeros(len(facts), bool)
        known = False
        for codes, words in facts.categories:
            code = pc.index(words, self.value).as_py()
            known |= code >= 0
            found |= (codes == code) & (code >= 0)
        if not known:
            raise BadRequest(f"no client has {self.value[:80]!r} among the favourite categories")
        return found if self.comparison == "=" else ~found


def allowed(facts: Facts, cutoff: datetime, filters: Sequence[str]) -> np.ndarray | None:
    """Say of each slot whether all conditions hold; None without conditions."""
    if not filters:
        return None
    found = facts.present.copy()
    for text in filters:
        found &= Condition.parse(text).holds(facts, cutoff)
    return found
