"""Keys of those who may ask: ``HOME/keys.json`` has their hashes, never the keys themselves."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.errors import UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.locks import exclusive

Scope = Literal["read", "similar", "page"]
#: Profiles; similar clients; the pages, which show histories, too.
SCOPES: tuple[Scope, ...] = ("read", "similar", "page")
#: Requests per second that a key may make, unless it was made for more or fewer.
RATE = 1000
#: What to do about it.
NO_KEY_LEFT = (
    "`ubp key create NAME` makes one; without keys.json in the home, a server that is started on "
    "loopback asks for none"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = "ubp_"


class Key(BaseModel):
    """A key, as it is kept.

    Parameters
    ----------
    name : str
        Whose it is; in logs and metrics.
    sha256 : str
        Of the key. It has 256 random bits, so that a fast hash hides it.
    scopes : list of str
    rate : int
        Requests per second.
    created_at : datetime
    """

    name: str
    sha256: str
    scopes: list[Scope]
    rate: int = RATE
    created_at: datetime


class Keys(BaseModel):
    """All keys of a home that have not been revoked."""

    keys: list[Key] = []

    @classmethod
    def read(cls, home: Home) -> "Keys":
        """Read the keys.

        Raises
        ------
        DamagedFile
            If the file is damaged: nobody is let in then.
        """
        return cls.read_if_any(home) or cls()

    @classmethod
    def read_if_any(cls, home: Home) -> "Keys | None":
        """Read the keys; None if none was ever made: nobody is asked for one then."""
        path = path_of(home)
        cure = f"restore it from a backup, or remove {path} and make new keys with `ubp key create`"
        return sealed.read_json(path, cls, cure) if path.exists() else None

    def find(self, secret: bytes) -> Key | None:
        """Return the key that was presented; the time that takes does not depend on it."""
        digest, found = hashlib.sha256(secret).hexdigest(), None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def path_of(home: Home) -> Path:
    """Return where the keys are kept."""
    return home.root / "keys.json"


def create_key(home: Home, name: str, scopes: Sequence[str] = SCOPES, rate: int = RATE) -> str:
    """Make a key, and return it: it is not kept, and cannot be shown again.

    Parameters
    ----------
    home : Home
    name : str
    scopes : sequence of str
    rate : int
        Requests per second.

    Raises
    ------
    UBPError
        If a key has this name, or it cannot be a name, or there is no such scope.
    """
    if not _NAME.fullmatch(name):
        raise UBPError(
            f"{name!r} cannot be the name of a key: up to 64 letters, digits, '.', '_' and '-'"
        )
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise UBPError(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    home.require()
    with exclusive(home, "keys"):
        known = Keys.read(home)
        if any(key.name == name for key in known.keys):
            raise UBPError(f"there is a key {name!r}: `ubp key revoke {name}`, or another name")
        secret = _PREFIX + secrets.token_urlsafe(32)
        made = Key(
            name=name,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=[scope for scope in SCOPES if scope in scopes],
            rate=rate,
            created_at=datetime.now(UTC),
        )
        _write(home, Keys(keys=[*known.keys, made]))
    return secret


def revoke_key(home: Home, name: str) -> int:
    """Take a key away; servers that are running know it with the next request.

    Returns
    -------
    int
        How many are left.

    Raises
    ------
    UBPError
        If there is no such key.
    """
    home.require()
    with exclusive(home, "keys"):
        known = Keys.read(home)
        left = [key for key in known.keys if key.name != name]
        if len(left) == len(known.keys):
            names = ", ".join(key.name for key in known.keys) or "none"
            raise UBPError(f"there is no key {name!r}; there are: {names}")
        _write(home, Keys(keys=left))
    return len(left)


def _write(home: Home, keys: Keys) -> None:
    write_text(path_of(home), sealed.sealed_json(keys))
