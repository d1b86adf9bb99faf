"""The contents of a layout, and the layouts that come with the platform."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import TABLES

DESCRIPTION = "layout.toml"
#: The query that returns the reason for each delivered row that becomes no row of any table.
DROPPED = "dropped"
#: The query that returns the time up to which the log is complete with a delivery.
COMPLETE_UNTIL = "complete_until"
#: The prefix of the files of views, which queries of tables may read.
VIEW = "_"
#: The suffixes of the files of a format; each file may be compressed as ``.gz`` or ``.zst``.
SUFFIXES: Mapping["Format", tuple[str, ...]] = {
    "csv": (".csv", ".tsv"),
    "ndjson": (".ndjson", ".jsonl", ".json"),
    "parquet": (".parquet",),
}
PACKED = (".gz", ".zst")

Format = Literal["csv", "ndjson", "parquet"]
Encoding = Literal["utf-8", "latin-1", "utf-16"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Relation(BaseModel):
    """Files that are read as one relation.

    Parameters
    ----------
    files : list of str
        Patterns of paths below the source, with ``/``; ``**`` matches any number of folders.
    format : {"csv", "ndjson", "parquet"}, optional
        By default given by each file's name.
    columns : list of str
        Columns that the files must have; the layout is recognised by them.
    names : list of str
        The names of a CSV file's columns if it has no header.
    types : mapping of str to str
        The DuckDB type of each field of an NDJSON file that the layout uses; others are not read.
    delimiter, quote, encoding : str
        Of CSV files; the encoding is ``utf-8``, ``latin-1`` or ``utf-16``.
    skip : int
        The number of lines in a CSV file above its header.
    hive : bool
        Whether folders named ``name=value`` are columns.
    optional : bool
        Whether the tables that read it may be missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Annotated[list[str], Field(min_length=1)]
    format: Format | None = None
    columns: list[str] = []
    names: list[str] = []
    types: dict[str, str] = {}
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    quote: Annotated[str, StringConstraints(max_length=1)] = '"'
    encoding: Encoding = "utf-8"
    skip: Annotated[int, Field(ge=0)] = 0
    hive: bool = False
    optional: bool = False

    def format_of(self, path: Path) -> Format:
        """Return the format of a file; raise UBPError if neither layout nor name shows it."""
        if found := self.format or format_of_name(path.name):
            return found
        raise UBPError(
            f"{path}: neither its name nor the layout shows whether it is CSV, NDJSON or Parquet"
        )


def format_of_name(name: str) -> Format | None:
    """Return the format that a file's name shows, if any."""
    name = name.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return next((known for known, suffixes in SUFFIXES.items() if name.endswith(suffixes)), None)


class Description(BaseModel):
    """The contents of ``layout.toml``.

    Parameters
    ----------
    about : str
        One line for ``ubp layouts``.
    time_zone : str, optional
        The zone of times that name none, such as ``Europe/Berlin``.
    text_ids : list of str
        Columns whose ids are text although most look like numbers, such as ``0017``.
    relation : mapping of str to Relation
        By the name in the SQL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    time_zone: str | None = None
    text_ids: list[Literal["client_id", "sku", "category", "url"]] = []
    relation: Annotated[dict[Name, Relation], Field(min_length=1)]


@dataclass(frozen=True)
class Layout:
    """A layout, as read from its directory.

    Parameters
    ----------
    name : str
    directory : Path
    description : Description
    queries : mapping of str to str
        The text of the ``SELECT`` of each table, and of :data:`DROPPED` and
        :data:`COMPLETE_UNTIL`, if any.
    views : mapping of str to str
        The text of the ``SELECT`` of each view, by name.
    """

    name: str
    directory: Path
    description: Description
    queries: Mapping[str, str]
    views: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path) -> "Layout":
        """Read a directory; raise UBPError, with the file, if one is missing or invalid."""
        path = directory / DESCRIPTION
        try:
            description = Description.model_validate(tomllib.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise UBPError(f"{directory} is not a layout: it has no {DESCRIPTION}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UBPError(f"{path}: not readable TOML: {error}") from None
        except ValidationError as error:
            raise UBPError(f"{path}: {_message(error)}") from None
        if (zone := description.time_zone) is not None:
            try:
                ZoneInfo(zone)
            except (ValueError, OSError, KeyError):
                raise UBPError(f"{path}: time_zone: there is no zone {zone!r}") from None
        scripts = {file.stem: file for file in sorted(directory.glob("*.sql"))}
        views = {
            name.removeprefix(VIEW): scripts.pop(name).read_text("utf-8")
            for name in sorted(scripts)
            if name.startswith(VIEW)
        }
        if twice := sorted(views.keys() & description.relation.keys()):
            raise UBPError(f"{directory}: {twice[0]} is a relation and a view: rename one of them")
        known = (*TABLES, DROPPED, COMPLETE_UNTIL)
        if strange := [name for name in scripts if name not in known]:
            raise UBPError(
                f"{scripts[strange[0]]}: there is no table {strange[0]!r}; tables are "
                f"{', '.join(TABLES)}; {DROPPED} is for rows that become none of them, "
                f"{COMPLETE_UNTIL} for the time up to which the log is complete"
            )
        if not scripts.keys() & TABLES.keys():
            raise UBPError(f"{directory} has no TABLE.sql with a SELECT, such as product_buy.sql")
        names = [name for name in known if name in scripts]
        queries = {name: scripts[name].read_text("utf-8") for name in names}
        return cls(directory.name, directory, description, queries, views)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that the layout has a ``SELECT`` for."""
        return tuple(name for name in self.queries if name in TABLES)

    @cached_property
    def relations(self) -> Mapping[str, Relation]:
        """The relations by name."""
        return self.description.relation


@cache
def shipped() -> Mapping[str, Layout]:
    """Return the layouts that come with the platform, by name."""
    root = Path(str(resources.files(__package__).joinpath("shipped")))
    return {path.name: Layout.read(path) for path in sorted(root.iterdir()) if path.is_dir()}


def layout_named(name: str) -> Layout:
    """Return the layout with a name, or in a directory; raise UBPError if there is none."""
    known = shipped()
    if name in known:
        return known[name]
    if Path(name).is_dir():
        return Layout.read(Path(name))
    raise UBPError(
        f"there is no layout {name!r}; choose one of {', '.join(known)}, or name a directory"
    )


def _message(error: ValidationError) -> str:
    """Describe the first error in one line."""
    first = error.errors(include_url=False)[0]
    setting = ".".join(map(str, first["loc"]))
    known = {"extra_forbidden": "no such setting", "missing": "missing"}
    return f"{setting}: {known.get(first['type'], first['msg'])}"
