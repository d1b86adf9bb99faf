"""The directory that holds all state, and the paths inside it."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import atomic_file, make_directory
from ubp_platform.settings import Settings

PROJECT_ROOT = Path(__file__).resolve().parents[1]
#: The arrangement of files in a home. 1 is that of homes without ``home.json``.
LAYOUT = 2


class HomeDescription(BaseModel):
    """The content of ``home.json``: the layout, and a name among homes that share a store.

    The name is drawn by the first publish, so that copies made before it get different ones.
    """

    layout: int
    id: str = ""


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
    def identity(self) -> str:
        """The home's name in the keys of a store that others may share.

        Raises
        ------
        DamagedFile
            If ``home.json`` is missing or damaged.
        """
        return self._describe().id

    def prepare(self) -> None:
        """Create the directory, and bring one of an earlier release up to date.

        Raises
        ------
        UBPError
            If the home was written by a newer release, or ``home.json`` is damaged.
        """
        make_directory(self.root, private=self.root)
        path = self.root / "home.json"
        if not path.exists():
            older = self.feast / "project"
            drawn = older.read_text().strip().split("_")[-1] if older.exists() else ""
            # Of several processes the first one decides.
            self._write(HomeDescription(layout=LAYOUT, id=drawn), replace=False)
            older.unlink(missing_ok=True)
        self.check()

    def draw_identity(self) -> None:
        """Name the home, if it has no name yet; the publishing process alone calls it."""
        found = self._describe()
        if not found.id:
            self._write(found.model_copy(update={"id": secrets.token_hex(4)}))

    def _write(self, description: HomeDescription, replace: bool = True) -> None:
        with atomic_file(self.root / "home.json", replace) as draft:
            draft.write_text(sealed.sealed_json(description), "utf-8")

    def require(self) -> None:
        """Raise UBPError if the directory does not exist."""
        if not self.root.is_dir():
            raise UBPError(f"there is no home at {self.root}: `ubp ingest SOURCE` creates one")

    def check(self) -> None:
        """Check that this release understands the home; raise UBPError if it does not."""
        if (self.root / "home.json").exists() and (layout := self._describe().layout) > LAYOUT:
            raise UBPError(
                f"{self.root} was written by a newer release (layout {layout}, this one knows "
                f"{LAYOUT}): update ubp-platform"
            )

    def _describe(self) -> HomeDescription:
        path = self.root / "home.json"
        again = f"remove {path} and run `ubp publish`" if path.exists() else "run `ubp publish`"
        cure = f"restore it from a backup, or {again}"
        try:
            return sealed.read_json(path, HomeDescription, cure)
        except DamagedFile:
            older = self.feast / "project"
            if not path.exists() and older.exists():
                return HomeDescription(layout=1, id=older.read_text().strip().split("_")[-1])
            raise

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
    def lake(self) -> Path:
        """The log in buckets of clients, where the settings name no other place."""
        return self.root / "lake"

    @property
    def lakes(self) -> Path:
        """The addresses of lakes in other places."""
        return self.root / "lakes.txt"

    @property
    def scratch(self) -> Path:
        """Caches; all of it can be deleted."""
        return self.root / "scratch"

    @property
    def unfinished_buckets(self) -> Path:
        """Vectors of buckets, until all are there and are written as one snapshot."""
        return self.scratch / "buckets"

    @property
    def profiles(self) -> Path:
        """Profile versions: ``profiles/VERSION/`` with normalizers and one file per cutoff."""
        return self.root / "profiles"

    @property
    def evaluation(self) -> Path:
        """Profiles that are scored but never served, all scores, and the latest evaluation."""
        return self.root / "evaluation"

    @property
    def comparisons(self) -> Path:
        """What `ubp compare` found, and its pictures."""
        return self.root / "comparisons"

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
    home = Home(home=path)
    home.check()
    return home
