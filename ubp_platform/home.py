"""Where all state lives: one directory, named by ``--home`` or ``UBP_HOME``."""

from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict

from ubp_platform.errors import UBPError

PROJECT_ROOT = Path(__file__).resolve().parents[1]


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

    def __init__(self, **values: Any) -> None:
        # By name only: pydantic would take a path without one for an option of its own.
        super().__init__(**values)

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
