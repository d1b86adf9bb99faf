"""Which profile version is served."""

from pydantic import BaseModel

from ubp_platform.blocks.catalog import version_directories
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.sealed import read_json, sealed_json


class Served(BaseModel):
    """The profile version that is served online: ``feast/served.json``.

    The file is replaced after the last profile is written: until then the previous version is
    served, from its own table.
    """

    version: str
    #: The type of the online store.
    online_store: str = "sqlite"
    #: The cutoff of every version with profiles online, the served one included.
    online: dict[str, str]
    #: The publish in whose view each of them is; those of earlier releases have none.
    publishes: dict[str, str] = {}
    cutoff: str
    #: Of the warehouse's history at the cutoff.
    identity: str
    clients: int
    published_at: str

    @property
    def unnumbered(self) -> set[str]:
        """The versions that an earlier release put online, which kept no account in the store."""
        return self.online.keys() - self.publishes.keys()

    @classmethod
    def read(cls, home: Home) -> "Served | None":
        """Read the pointer; None before the first publish; raise DamagedFile if it is damaged."""
        path, names = home.feast / "served.json", version_directories(home.profiles)
        newest = names[-1].name if names else "VERSION"
        cure = (
            f"`ubp publish --profile-version {newest}`, or of the version to serve, writes it again"
        )
        # A publish takes its name and writes Feast's registry before.
        before = (home.feast / "registry.db").exists() and (home.root / "names/publishes").exists()
        return read_json(path, cls, cure) if path.exists() or before else None

    def require_store(self, kind: str) -> None:
        """Check that a type of online store is the one that was published to.

        Raises
        ------
        UBPError
            If it is not.
        """
        if self.online_store != kind:
            raise UBPError(
                f"profile {self.version} is online in {self.online_store}, not in {kind}: set "
                f"UBP_ONLINE_STORE={self.online_store} (or online_store in ubp.toml), or run "
                f"`ubp publish --profile-version {self.version}`"
            )

    @classmethod
    def read_if_whole(cls, home: Home) -> "Served | None":
        """Read the pointer; None also if it is damaged: it is going to be written again."""
        try:
            return cls.read(home)
        except DamagedFile:
            return None

    def write(self, home: Home) -> None:
        """Replace the pointer at once."""
        write_text(home.feast / "served.json", sealed_json(self))
