"""The directory that holds all state, and the paths inside it."""

from dataclasses import dataclass
from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.settings import Settings

PROJECT_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Home:
    """The directory of one installation and the paths inside it.

    Parameters
    ----------
    home : Path or str
        Root directory.

    Examples
    --------
    >>> Home("/tmp/shop").warehouse.name
    'warehouse.duckdb'
    """

    home: Path | str

    @property
    def root(self) -> Path:
        """The root as an absolute path."""
        return Path(self.home).expanduser().resolve()

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
        """Interrupted fits: ``checkpoints/NAME/IDENTITY.safetensors``."""
        return self.root / "checkpoints"

    @property
    def scratch(self) -> Path:
        """Caches; all of it can be deleted."""
        return self.root / "scratch"

    @property
    def profiles(self) -> Path:
        """Profile versions: ``profiles/VERSION/`` with normalizers and one file per cutoff."""
        return self.root / "profiles"

    @property
    def evaluation(self) -> Path:
        """Profiles that are scored but never served, all scores, and the latest evaluation."""
        return self.root / "evaluation"

    @property
    def report(self) -> Path:
        """The report of the latest evaluation."""
        return self.root / "report" / "index.html"

    @property
    def feast(self) -> Path:
        """Feast's registry, its online store and the pointer to the served version."""
        return self.root / "feast"


def open_home(path: Path | None = None) -> Home:
    """Return the home at a path, by default that of the settings; it need not exist yet.

    Raises
    ------
    UBPError
        If the path exists and is not a directory.
    """
    path = Settings.load().home if path is None else path
    if path.exists() and not path.is_dir():
        raise UBPError(f"{path} is a file; the home must be a directory")
    return Home(home=path)
