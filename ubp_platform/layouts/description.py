"""What ``layout.toml`` may say, and the layouts that ship."""

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
#: The name of the query that counts, by reason, the rows that become no row of any table.
DROPPED = "dropped"
#: How the file of a view begins, which the queries of tables may read.
VIEW = "_"
#: How the files of a format are called; each may be packed as ``.gz`` or ``.zst``.
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
        Patterns of paths below the source, with ``/``; ``**`` is any number of folders.
    format : {"csv", "ndjson", "parquet"}, optional
        By default what the name of each file says.
    columns : list of str
        Columns that the files must have: by these the layout is recognised.
    names : list of str
        Names of a CSV file's columns where it has no header.
    types : mapping of str to str
        The DuckDB type of each field of an NDJSON file that the layout uses; others are not read.
    delimiter, quote : str
        Of CSV.
    encoding : {"utf-8", "latin-1", "utf-16"}
        Of CSV.
    skip : int
        Lines of a CSV file above its header.
    hive : bool
        Whether folders called ``name=value`` are columns.
    optional : bool
        Whether the tables that need it may be missing.
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
        """Tell the format of a file.

        Raises
        ------
        UBPError
            If neither the layout nor the file's name says it.
        """
        if self.format is not None:
            return self.format
        name = path.name.lower()
        for suffix in PACKED:
            name = name.removesuffix(suffix)
        for known, suffixes in SUFFIXES.items():
            if name.endswith(suffixes):
                return known
        raise UBPError(
            f"{path}: neither its name nor the layout says whether it is CSV, NDJSON or Parquet"
        )


class Description(BaseModel):
    """The contents of ``layout.toml``.

    Parameters
    ----------
    about : str
        One line for ``ubp layouts``.
    time_zone : str, optional
        The zone of times that name none, such as ``Europe/Berlin``.
    text_ids : list of str
        Columns of ids that are text though most of them look like numbers, as ``0017`` may.
    relation : mapping of str to Relation
        By the name that the SQL uses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    time_zone: str | None = None
    text_ids: list[Literal["client_id", "sku", "category", "url"]] = []
    relation: Annotated[dict[Name, Relation], Field(min_length=1)]


@dataclass(frozen=True)
class Layout:
    """A layout's directory, read.

    Parameters
    ----------
    name : str
    directory : Path
    description : Description
    queries : mapping of str to str
        The ``SELECT`` of each table, as its file holds it, and that of :data:`DROPPED`, if any.
    views : mapping of str to str
        The ``SELECT`` of each view, by its name.
    """

    name: str
    directory: Path
    description: Description
    queries: Mapping[str, str]
    views: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path) -> "Layout":
        """Read a directory.

        Raises
        ------
        UBPError
            If a file is missing or says what it may not; the message names it.
        """
        path = directory / DESCRIPTION
        try:
            description = Description.model_validate(tomllib.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise UBPError(f"{directory} is no layout: it has no {DESCRIPTION}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UBPError(f"{path}: not readable TOML: {error}") from None
        except ValidationError as error:
            raise UBPError(f"{path}: {_told(error)}") from None
        if (zone := description.time_zone) is not None:
            try:
                ZoneInfo(zone)
            except (ValueError, OSError, KeyError):
                raise UBPError(f"{path}: time_zone: no zone is called {zone!r}") from None
        scripts = {file.stem: file for file in sorted(directory.glob("*.sql"))}
        views = {
            name.removeprefix(VIEW): scripts.pop(name).read_text("utf-8")
            for name in sorted(scripts)
            if name.startswith(VIEW)
        }
        if twice := sorted(views.keys() & description.relation.keys()):
            raise UBPError(f"{directory}: {twice[0]} is a relation and a view: rename one of them")
        if strange := [name for name in scripts if name not in (*TABLES, DROPPED)]:
            raise UBPError(
                f"{scripts[strange[0]]}: no table is called {strange[0]!r}; there are "
                f"{', '.join(TABLES)}, and {DROPPED} for what becomes no row of them"
            )
        if not scripts.keys() & TABLES.keys():
            raise UBPError(f"{directory} has no TABLE.sql with a SELECT, such as product_buy.sql")
        names = [name for name in (*TABLES, DROPPED) if name in scripts]
        queries = {name: scripts[name].read_text("utf-8") for name in names}
        return cls(directory.name, directory, description, queries, views)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it has a ``SELECT`` for."""
        return tuple(name for name in self.queries if name != DROPPED)

    @cached_property
    def relations(self) -> Mapping[str, Relation]:
        """The relations by name."""
        return self.description.relation


@cache
def shipped() -> Mapping[str, Layout]:
    """Read the layouts that come with the platform, by name."""
    root = Path(str(resources.files(__package__).joinpath("shipped")))
    return {path.name: Layout.read(path) for path in sorted(root.iterdir()) if path.is_dir()}


def find(name: str) -> Layout:
    """Give a layout by its name, or by its directory.

    Raises
    ------
    UBPError
        If there is none.
    """
    known = shipped()
    if name in known:
        return known[name]
    if Path(name).is_dir():
        return Layout.read(Path(name))
    raise UBPError(
        f"no layout is called {name!r}; there are {', '.join(known)}, or give a directory"
    )


def _told(error: ValidationError) -> str:
    """Say the first thing that is wrong, in a line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = {"extra_forbidden": "no such setting", "missing": "missing"}.get(
        first["type"], first["msg"]
    )
    return f"{place}: {said}"
