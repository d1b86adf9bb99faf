"""Which profile version is served."""

from pydantic import BaseModel

from ubp_platform.errors import DamagedFile
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
    #: The publish of each of them; those of earlier releases have none.
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
        path = home.feast / "served.json"
        return read_json(path, cls, "`ubp publish` writes it again") if path.exists() else None

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
