"""The files of a source by relation, and the layout of a source."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, LimitExceeded, UBPError
from ubp_platform.files import fingerprint
from ubp_platform.layouts.description import PACKED, Layout, Relation
from ubp_platform.layouts.reader import reading, require_content, unreadable

# The times of files are no finer than a tick of the kernel, which is at most this long, in seconds.
_TICK = 0.01


@dataclass(frozen=True)
class Source:
    """A file, a folder, or a tree of folders."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Source":
        """Return the source at a path; raise UBPError if it does not exist or has no file."""
        if not path.exists():
            raise UBPError(f"no such path: {path}")
        source = cls(path)
        if not source.files:
            raise UBPError(f"{path} holds no file")
        source.states  # noqa: B018 - seen before anything is read
        return source

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their paths below the source, with ``/``, without hidden ones."""
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

    @cached_property
    def _columns(self) -> dict[tuple[Path, str], list[str]]:
        return {}

    @cached_property
    def states(self) -> dict[Path, tuple[int, ...] | None]:
        """What identifies the contents of each file, as first seen."""
        states = {path: fingerprint(path) for path in self.files.values()}
        # What is written in the same tick has the same time: nothing is read before it is over.
        changed = max((state[-1] for state in states.values() if state), default=0) / 1e9
        time.sleep(min(_TICK, max(0.0, changed + _TICK - time.time())))
        return states

    def columns(self, path: Path, relation: Relation) -> list[str]:
        """Return the columns of a file, read as one of a relation; each way of reading once.

        Raises
        ------
        BatchRejected
            If it is unreadable.
        """
        way = (path, relation.model_dump_json(exclude={"files", "columns", "types", "optional"}))
        if way not in self._columns:
            require_content([path], relation)
            # All fields, not only those that the layout reads.
            every = relation.model_copy(update={"types": {}})
            try:
                # Opening a database takes longer than reading a header.
                with _database().cursor() as connection:
                    columns = connection.sql(reading(connection, every, [path])).columns
            except duckdb.Error as error:
                raise unreadable([path], relation, error) from None
            self._columns[way] = [name for name in columns if name not in ("_file", "_row")]
        return self._columns[way]

    def of(self, layout: Layout) -> "Delivery":
        """Assign the files to a layout's relations."""
        relations = {
            name: [path for below, path in self.files.items() if matches(below, relation.files)]
            for name, relation in layout.relations.items()
        }
        return Delivery(self, layout, {name: files for name, files in relations.items() if files})


@dataclass(frozen=True)
class Delivery:
    """A source in a layout, with the files of each relation that has some."""

    source: Source
    layout: Layout
    files: Mapping[str, Sequence[Path]]

    def require_unchanged(self) -> None:
        """Check that each file is still the one that was there before anything was read.

        Raises
        ------
        BatchRejected
            If one was changed, replaced or removed.
        """
        for files in self.files.values():
            for path in files:
                now = fingerprint(path)
                if now != self.source.states[path] or now is None:
                    what = "removed" if now is None else "changed"
                    raise BatchRejected(
                        f"{path} was {what} while it was being read: when the delivery is "
                        "complete, run the same command again"
                    )

    @property
    def missing(self) -> list[str]:
        """Required relations without files."""
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
    def has_file_name(self) -> bool:
        """Whether a file has a name from the layout, rather than only a suffix."""
        named = [
            pattern
            for relation in self.layout.relations.values()
            for pattern in relation.files
            if not pattern.rpartition("/")[2].startswith(("*", "["))
        ]
        return any(matches(below, named) for below in self.source.files)

    def columns(self, name: str) -> list[str]:
        """Return the columns of a relation's first file; BatchRejected if it is unreadable."""
        return self.source.columns(self.files[name][0], self.layout.relations[name])

    @cached_property
    def absent(self) -> dict[str, list[str]]:
        """The missing columns of relations that lack some."""
        found = {}
        for name in self.files:
            columns = {column.lower() for column in self.columns(name)}
            required = self.layout.relations[name].columns
            if missing := [column for column in required if column.lower() not in columns]:
                found[name] = missing
        return found


def recognise(source: Source, layouts: Mapping[str, Layout]) -> Delivery:
    """Recognise the layout of a source by the names of files and columns.

    Raises
    ------
    UBPError
        If none of them fits, or several do.
    LimitExceeded
        If a file that could belong to one is too large.
    """
    fitting, named = [], []
    for layout in layouts.values():
        delivery = source.of(layout)
        if not delivery.files or delivery.missing:
            continue
        if delivery.has_file_name:
            named.append(delivery)
        try:
            fits = not delivery.absent
        except LimitExceeded:
            raise
        except UBPError:
            fits = False
        if fits:
            fitting.append(delivery)
    # If file names match only one layout, staging reports what is wrong with its columns.
    if not fitting and len(named) == 1:
        return named[0]
    if len(fitting) == 1:
        return fitting[0]
    if empty := [below for below, path in source.files.items() if not path.stat().st_size]:
        raise UBPError(f"{source.path}: no known layout fits, and {empty[0]} is an empty file")
    if not fitting:
        names = ", ".join([*source.files][:5]) + (", …" if len(source.files) > 5 else "")
        raise UBPError(
            f"no known layout fits the files in {source.path} ({names}): `ubp layouts` lists all "
            f"layouts; `ubp init {source.path}` drafts one for these files"
        )
    names = " and ".join(delivery.layout.name for delivery in fitting)
    raise UBPError(f"{source.path} could be {names}: choose one with --layout")


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def matches(below: str, patterns: Sequence[str]) -> bool:
    """Whether a path below a source is that of a relation with these patterns."""
    return any(_pattern(pattern).fullmatch(below) for pattern in patterns)


def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of paths: case-insensitive, and files may be compressed."""
    signs = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "[0-9]": "[0-9]"}
    pieces = re.split(f"({'|'.join(map(re.escape, signs))})", pattern)
    parts = [signs.get(piece, re.escape(piece)) for piece in pieces]
    packed = "|".join(re.escape(suffix) for suffix in PACKED)
    return re.compile("".join(parts) + f"(?:{packed})?", re.IGNORECASE)
