"""Which profile version is served."""

import json

from pydantic import BaseModel

from ubp_platform.files import read_model, write_text
from ubp_platform.home import Home


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
    cutoff: str
    #: Of the warehouse's history at the cutoff.
    identity: str
    clients: int
    published_at: str

    @classmethod
    def read(cls, home: Home) -> "Served | None":
        """Read the pointer; None before the first publish."""
        path = home.feast / "served.json"
        cure = "remove it, then `ubp publish` writes it again"
        return read_model(path, cls, cure) if path.exists() else None

    def write(self, home: Home) -> None:
        """Replace the pointer at once."""
        write_text(home.feast / "served.json", json.dumps(self.model_dump(), indent=2) + "\n")
