"""The scripts of a layout, parsed: each is one ``SELECT``, over relations and views."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from ubp_platform.errors import UBPError, first_line
from ubp_platform.layouts.description import VIEW, Layout


class Scripts:
    """What the scripts of a layout read; ``connection`` parses them.

    Errors, such as several statements or views that read each other, name the script.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
        self._connection, self._layout = connection, layout

    def relations(self, query: str) -> set[str]:
        """Return the relations that a query of the layout reads, directly or through views."""
        text = self._layout.queries[query]
        names = self._names(query, text)
        for view in self.views(query, text):
            names |= self._names(f"{VIEW}{view}", self._layout.views[view])
        return names & self._layout.relations.keys()

    def views(self, script: str, text: str, within: tuple[str, ...] = ()) -> list[str]:
        """Return the views that a script reads, directly or not, in order of creation."""
        found: dict[str, None] = {}
        for name in sorted(self._names(script, text) & self._layout.views.keys()):
            if name in within:
                circle = " → ".join(f"{VIEW}{view}" for view in (*within, name))
                raise UBPError(f"{self.path(script)}: views read each other: {circle}")
            read = self.views(f"{VIEW}{name}", self._layout.views[name], (*within, name))
            found |= dict.fromkeys([*read, name])
        return [*found]

    def path(self, script: str) -> Path:
        """Return the file of a script."""
        return self._layout.directory / f"{script}.sql"

    def _names(self, script: str, text: str) -> set[str]:
        """Return the tables that a script reads, after checking that it is one ``SELECT``."""
        (serialized,) = self._connection.execute(
            "SELECT json_serialize_sql($text)", {"text": text}
        ).fetchall()[0]
        tree, path = json.loads(serialized), self.path(script)
        if tree.get("error"):
            if tree.get("error_type") == "not implemented":
                raise UBPError(f"{path}: one SELECT is allowed, and nothing else")
            line = text[: int(tree.get("position", 0) or 0)].count("\n") + 1
            raise UBPError(f"{path}, line {line}: {first_line(tree.get('error_message', ''))}")
        if (count := len(tree["statements"])) != 1:
            raise UBPError(f"{path}: one SELECT is allowed, not {count} statements")
        return set(_tables(tree))


def _tables(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if node.get("type") == "BASE_TABLE":
            yield node["table_name"]
        node = [*node.values()]
    if isinstance(node, list):
        for value in node:
            yield from _tables(value)
