"""Where all state lives: one directory, named by ``--home`` or ``UBP_HOME``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ubp_platform.errors import UBPError

PROJECT_ROOT = Path(__file__).resolve().parents[1]
Model = TypeVar("Model", bound=BaseModel)


class Home(BaseSettings):
    """The directory of one installation and the places inside it.

    Parameters
    ----------
    home : Path
        Root directory; the environment variable is ``UBP_HOME``.

    Examples
    --------
    >>> Home(home="/tmp/shop").warehouse.name
    'warehouse.duckdb'
    """

    model_config = SettingsConfigDict(env_prefix="UBP_", frozen=True)

    home: Path = Path("ubp_home")

    @property
    def root(self) -> Path:
        """The root as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with the validated events and the quarantine."""
        return self.root / "warehouse.duckdb"

    @property
    def data_docs(self) -> Path:
        """HTML pages about each validated batch."""
        return self.root / "data_docs"

    @property
    def blocks(self) -> Path:
        """Fitted blocks: ``blocks/NAME/VERSION/``."""
        return self.root / "blocks"

    @property
    def snapshots(self) -> Path:
        """Vectors of blocks: ``snapshots/NAME/VERSION/CUTOFF.parquet``."""
        return self.root / "snapshots"

    @property
    def checkpoints(self) -> Path:
        """Fits that were cut off: ``checkpoints/NAME/IDENTITY.safetensors``."""
        return self.root / "checkpoints"

    @property
    def scratch(self) -> Path:
        """What saves work when it is done again; all of it can be deleted."""
        return self.root / "scratch"

    @property
    def profiles(self) -> Path:
        """Profile versions: ``profiles/VERSION/`` with normalizers and one file a cutoff."""
        return self.root / "profiles"

    @property
    def evaluation(self) -> Path:
        """Profiles that are scored but never served, every score, and the last evaluation."""
        return self.root / "evaluation"

    @property
    def report(self) -> Path:
        """The page about the last evaluation."""
        return self.root / "report" / "index.html"

    @property
    def feast(self) -> Path:
        """Feast's registry, its online store and the pointer to the served version."""
        return self.root / "feast"


def open_home(path: Path) -> Home:
    """Take a directory as a home; it need not exist yet.

    Raises
    ------
    UBPError
        If it is something else than a directory.
    """
    if path.exists() and not path.is_dir():
        raise UBPError(f"{path} is a file; the home is a directory")
    return Home(home=path)


def parse_time(text: str) -> datetime:
    """Read a point in time as the command line takes it; without a zone it is UTC.

    Parameters
    ----------
    text : str
        ISO 8601: ``2017-12-18``, ``2017-12-18 06:00``, ``2017-12-18T06:00:00+01:00``.

    Returns
    -------
    datetime
        Aware, in UTC.

    Raises
    ------
    UBPError
        If the text is no time.

    Examples
    --------
    >>> parse_time("2017-12-18").isoformat()
    '2017-12-18T00:00:00+00:00'
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UBPError(
            f"not a time: {text!r}; write it like 2017-12-18 or '2017-12-18 06:00:00' (UTC)"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def time_stem(time: datetime) -> str:
    """Name a file after a point in time, so that names sort like times.

    Examples
    --------
    >>> time_stem(parse_time("2017-12-18 06:00"))
    '20171218T060000Z'
    """
    fraction = f".{time.microsecond:06d}" if time.microsecond else ""
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S}{fraction}Z"


@contextmanager
def appearing_file(path: Path) -> Iterator[Path]:
    """Give the path to write to; the file takes its place at the end, and is removed on failure.

    Yields
    ------
    Path
        Beside ``path``, where a reader sees the old file or the new one, never a part.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_whole(path: Path, model: type[Model], cure: str) -> Model:
    """Read a model that was written as JSON.

    Parameters
    ----------
    path : Path
    model : type
    cure : str
        What to do about a damaged file.

    Raises
    ------
    UBPError
        If the file is damaged.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UBPError(f"{path} is damaged: {cure}") from None


def write_whole(path: Path, text: str) -> None:
    """Replace a file's text at once: a reader sees the old or the new, never a part."""
    with appearing_file(path) as temporary, temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
