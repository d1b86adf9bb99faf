"""Tags: names that people give to profile versions, such as ``production``."""

import re

from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.errors import UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
#: What looks like a version is none.
_VERSION = re.compile(r"v\d+(@v\d+)?")
_CURE = "restore it from a backup, or remove it and run `ubp tag` again"


class Tags(BaseModel):
    """The content of ``profiles/tags.json``: versions by tag."""

    tags: dict[str, str] = {}


def read_tags(home: Home) -> dict[str, str]:
    """Return the versions by tag; raise DamagedFile if the file is damaged."""
    path = home.profiles / "tags.json"
    return sealed.read_json(path, Tags, _CURE).tags if path.exists() else {}


def write_tags(home: Home, tags: dict[str, str]) -> None:
    """Replace the tags."""
    content = Tags(tags=dict(sorted(tags.items())))
    write_text(home.profiles / "tags.json", sealed.sealed_json(content))


def require_tag(name: str) -> None:
    """Raise UBPError if a name cannot be a tag."""
    if not _TAG.fullmatch(name) or _VERSION.fullmatch(name):
        raise UBPError(
            f"{name!r} cannot be a tag: a letter, then letters, digits, '_', '-' and '.', and not "
            "like a version"
        )
