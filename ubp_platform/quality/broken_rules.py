"""Which rows of a table break which rules, collected slice by slice."""

import re

import numpy as np

from ubp_platform.quality.suites import BrokenRule


class BrokenRules:
    """The rules that rows break, in eight bytes per row and one text per combination."""

    def __init__(self) -> None:
        #: The number of rows that break a rule.
        self.rows = 0
        #: The number of rows without a readable value, by rule and column.
        self.absent: dict[tuple[str, str], int] = {}
        self._rules: list[str] = []
        self._slice: list[tuple[np.ndarray, int]] = []
        self._done: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, broken: BrokenRule, numbers: np.ndarray) -> None:
        """Add the rows of a slice that break a rule; ``numbers`` are those of all its rows."""
        if broken.rule not in self._rules:
            self._rules.append(broken.rule)
        self._slice.append((numbers[broken.positions], 1 << self._rules.index(broken.rule)))
        if broken.absent:
            key = (broken.rule, re.sub("_(unreadable|present)$", "", broken.column))
            self.absent[key] = self.absent.get(key, 0) + len(broken.positions)

    def end_slice(self) -> None:
        """Combine the rules of each row of the slice."""
        if self._slice:
            numbers = np.concatenate([rows for rows, _ in self._slice])
            bits = np.concatenate([np.full(len(rows), bit) for rows, bit in self._slice])
            bad, which = np.unique(numbers, return_inverse=True)
            rules = np.zeros(len(bad), np.int64)
            np.bitwise_or.at(rules, which, bits)
            self._done.append((bad, rules))
            self.rows += len(bad)
            self._slice.clear()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the bad rows, and the descriptions of the rules each breaks."""
        nothing = np.empty(0, np.int64)
        numbers = np.concatenate([nothing, *(numbers for numbers, _ in self._done)])
        rules = np.concatenate([nothing, *(rules for _, rules in self._done)])
        combinations, which = np.unique(rules, return_inverse=True)
        texts = [
            "; ".join(rule for bit, rule in enumerate(self._rules) if combination >> bit & 1)
            for combination in combinations.tolist()
        ]
        return numbers, np.array(texts, dtype=object)[which]
