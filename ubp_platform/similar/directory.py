"""The files of a version's indexes: ``profiles/v1/similar/``.

``similar.json`` names the others with their hashes, and is replaced when they are all written: a
reader sees one state or another. The files that it does not name are left from before.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel

from ubp_platform import files, sealed
from ubp_platform.errors import DamagedFile, first_line
from ubp_platform.profile.named_snapshots import NamedSnapshot
from ubp_platform.profile.version import ProfileVersion

_NAME = "similar.json"


class StoredFile(BaseModel):
    """A file and its SHA-256."""

    name: str
    sha256: str


class StoredIndex(BaseModel):
    """An index of all clients.

    Parameters
    ----------
    by : list of str
        The blocks whose numbers are compared; empty for all of the profile.
    file : StoredFile
    clients : int
        Those whose numbers have a direction.
    """

    by: list[str]
    file: StoredFile
    clients: int


class SimilarDescription(BaseModel):
    """The content of ``similar.json``.

    Parameters
    ----------
    number : int
        Counts the states.
    publish : str
        Whose profiles they are; empty before the first publish of the version.
    snapshots : list of NamedSnapshot
        The files with these profiles, oldest cutoff first.
    cutoff : datetime
        The newest one of a profile.
    newest_event : datetime, optional
        Of any client.
    clients : int
    facts, plane : StoredFile
    indexes : list of StoredIndex
    made_at : datetime
    """

    number: int
    publish: str
    snapshots: list[NamedSnapshot]
    cutoff: datetime
    newest_event: datetime | None
    clients: int
    facts: StoredFile
    plane: StoredFile
    indexes: list[StoredIndex]
    made_at: datetime

    @property
    def files(self) -> list[StoredFile]:
        """The other files."""
        return [self.facts, self.plane, *(one.file for one in self.indexes)]

    def index(self, by: list[str]) -> StoredIndex | None:
        """Return the index by some blocks, in any order; None if there is none."""
        return next((one for one in self.indexes if set(one.by) == set(by)), None)


class SimilarDirectory:
    """The indexes of a profile version on disk.

    Parameters
    ----------
    version : ProfileVersion
    """

    def __init__(self, version: ProfileVersion) -> None:
        self.path = version.directory / "similar"
        option = f" --profile-version {version.name}"
        self._cure = f"remove {self.path}; `ubp index{option}` makes it again"

    @property
    def description(self) -> Path:
        """The file that names the others."""
        return self.path / _NAME

    def read(self) -> SimilarDescription | None:
        """Return what there is; None if there is no index.

        Raises
        ------
        DamagedFile
            If ``similar.json`` is damaged.
        """
        if not self.description.exists():
            return None
        return sealed.read_json(self.description, SimilarDescription, self._cure)

    def whole(self, file: StoredFile) -> Path:
        """Return the path of a file that is what was written.

        Raises
        ------
        DamagedFile
            If it is missing or damaged.
        """
        path = self.path / file.name
        try:
            now = path.stat()
            found = _hash(path, (now.st_ino, now.st_size, now.st_mtime_ns))
        except FileNotFoundError:
            raise DamagedFile(f"{path} is missing: {self._cure}") from None
        except OSError as error:
            raise DamagedFile(f"{path} cannot be read ({error.strerror}): {self._cure}") from None
        if found != file.sha256:
            raise DamagedFile(f"{path} is damaged: {self._cure}")
        return path

    def unreadable(self, error: Exception) -> DamagedFile:
        """Say that files cannot be opened, and what to do."""
        if isinstance(error, DamagedFile):
            return error
        return DamagedFile(f"{self.path} cannot be read ({first_line(error)}): {self._cure}")

    def check(self) -> None:
        """Raise DamagedFile if a file is missing or damaged."""
        found = self.read()
        for file in found.files if found else []:
            self.whole(file)

    def write(self, description: SimilarDescription) -> None:
        """Switch readers to a state whose files are written, and remove other files."""
        files.write_text(self.description, sealed.sealed_json(description))
        self.clean(description)

    def clean(self, description: SimilarDescription | None) -> None:
        """Remove the files that a description does not name, as of a run that was killed."""
        named = {_NAME, *(file.name for file in description.files)} if description else set()
        for path in self.path.iterdir():
            if path.name not in named and not path.name.endswith(".part"):
                files.discard(path)

    def stored(self, path: Path) -> StoredFile:
        """Describe a file that was written."""
        now = path.stat()
        return StoredFile(
            name=path.name, sha256=_hash(path, (now.st_ino, now.st_size, now.st_mtime_ns))
        )


@lru_cache(maxsize=256)
def _hash(path: Path, _state: tuple[int, ...]) -> str:
    """Hash a file, once as long as it stays the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
