"""Which files of a source belong to which relation, and which layout a source is in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import duckdb

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import PACKED, Layout
from ubp_platform.layouts.reader import reading, require_content, unreadable


@dataclass(frozen=True)
class Source:
    """A file, a folder, or a tree of folders.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Source":
        """Look at a path.

        Raises
        ------
        UBPError
            If nothing is there, or no file in it.
        """
        if not path.exists():
            raise UBPError(f"no such path: {path}")
        source = cls(path)
        if not source.files:
            raise UBPError(f"{path} holds no file")
        return source

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their paths below the source, with ``/``; hidden ones are left out."""
        if self.path.is_file():
            return {self.path.name: self.path}
        found = {
            path.relative_to(self.path).as_posix(): path
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }
        return {
            name: path
            for name, path in found.items()
            if not any(part.startswith((".", "_")) for part in name.split("/"))
        }

    def of(self, layout: Layout) -> "Delivery":
        """Sort the files into a layout's relations."""
        relations = {
            name: [path for below, path in self.files.items() if _matches(below, relation.files)]
            for name, relation in layout.relations.items()
        }
        return Delivery(self, layout, {name: files for name, files in relations.items() if files})


@dataclass(frozen=True)
class Delivery:
    """A source in a layout.

    Parameters
    ----------
    source : Source
    layout : Layout
    files : mapping of str to list of Path
        The files of each relation that has some.
    """

    source: Source
    layout: Layout
    files: Mapping[str, Sequence[Path]]

    @property
    def missing(self) -> list[str]:
        """Relations without files that must have some."""
        return [
            name
            for name, relation in self.layout.relations.items()
            if name not in self.files and not relation.optional
        ]

    @property
    def unread(self) -> list[str]:
        """Files of the source that belong to no relation."""
        read = {path for files in self.files.values() for path in files}
        return [below for below, path in self.source.files.items() if path not in read]

    @property
    def called(self) -> bool:
        """Whether a file is called as the layout has it, not only packed or parsed alike."""
        named = [
            pattern
            for relation in self.layout.relations.values()
            for pattern in relation.files
            if not pattern.rpartition("/")[2].startswith("*")
        ]
        return any(_matches(below, named) for below in self.source.files)

    def columns(self, name: str) -> list[str]:
        """Give the columns of a relation, as its first file has them.

        Raises
        ------
        BatchRejected
            If it cannot be read.
        """
        relation, first = self.layout.relations[name], self.files[name][:1]
        require_content(first, relation.encoding)
        # Whatever fields there are, not those that the layout reads.
        every = relation.model_copy(update={"types": {}})
        try:
            # One for all that is looked at: to open a database takes longer than to read a header.
            with _looking().cursor() as connection:
                columns = connection.sql(reading(connection, every, first)).columns
        except duckdb.Error as error:
            raise unreadable(first, relation, error) from None
        return [column for column in columns if column not in ("_file", "_row")]

    @cached_property
    def absent(self) -> dict[str, list[str]]:
        """Name the columns that relations should have and have not."""
        found = {}
        for name in self.files:
            there = {column.lower() for column in self.columns(name)}
            wanted = self.layout.relations[name].columns
            if lacking := [column for column in wanted if column.lower() not in there]:
                found[name] = lacking
        return found


def recognise(source: Source, layouts: Mapping[str, Layout]) -> Delivery:
    """Find the layout that a source is in, by the names of files and columns.

    Raises
    ------
    UBPError
        If it is in none of them, or in several.
    """
    fitting, called = [], []
    for layout in layouts.values():
        delivery = source.of(layout)
        if not delivery.files or delivery.missing:
            continue
        if delivery.called:
            called.append(delivery)
        try:
            fits = not delivery.absent
        except UBPError:
            fits = False
        if fits:
            fitting.append(delivery)
    # Files that are called as in one layout alone are of it, and what is wrong with them is said.
    if not fitting and len(called) == 1:
        return called[0]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        names = ", ".join([*source.files][:5]) + (", …" if len(source.files) > 5 else "")
        raise UBPError(
            f"no layout that is known has files as {source.path} ({names}): `ubp layouts` lists "
            f"those that there are; `ubp init {source.path}` drafts one for these files"
        )
    names = " and ".join(delivery.layout.name for delivery in fitting)
    raise UBPError(f"{source.path} could be {names}: say which with --layout")


@cache
def _looking() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def _matches(below: str, patterns: Sequence[str]) -> bool:
    return any(_pattern(pattern).fullmatch(below) for pattern in patterns)


def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of paths: case does not matter, and files may be packed."""
    parts = []
    for piece in re.split(r"(\*\*/|\*|\?)", pattern):
        parts.append({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece)))
    packed = "|".join(re.escape(suffix) for suffix in PACKED)
    return re.compile("".join(parts) + f"(?:{packed})?", re.IGNORECASE)
