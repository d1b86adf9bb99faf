"""What a disk may hold after a power loss, from a recording of the shim.

See the package's docstring for the model.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

_HEADER = struct.Struct("7Q")
_KEPT = ("dropped", "zeros", "some", "kept")


@dataclass
class _File:
    """A file: what is on disk for certain, and the changes since it was last synced."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def synced(self) -> None:
        self.durable = self.content("kept", Random(0))
        self.pending = []

    def content(self, kept: str, rng: Random) -> bytearray:
        """Return the content if changes that were not synced are dropped, zeros, or kept.

        Zeros stand where the file grew: what is overwritten in place is what it was, or new.
        """
        result = bytearray(self.durable)
        old = len(result)
        for offset, data in () if kept == "dropped" else self.pending:
            if kept == "some" and rng.random() < 0.5:
                continue
            if data is None:
                del result[offset:]
                result.extend(bytes(offset - len(result)))
                old = min(old, offset)
                continue
            end = offset + len(data)
            result.extend(bytes(max(0, end - len(result))))
            if kept == "zeros":
                grown = max(offset, old)
                result[grown:end] = bytes(max(0, end - grown))
            else:
                result[offset:end] = data
        return result


@dataclass(frozen=True)
class _Entry:
    """A change of names, by the directories' keys; atomic, also between two directories."""

    op: str
    parent: int
    name: str
    key: int = 0
    parent2: int = 0
    name2: str = ""


class Disk:
    """Files and names below a directory, as they were before and as a recording changed them.

    Parameters
    ----------
    root : Path
        All that is there now counts as synced.
    """

    def __init__(self, root: Path) -> None:
        self.changes = 0
        # The number of an inode is given again: each thing that had it has a key of its own.
        self._keys: dict[int, int] = {}
        self._numbers = count(1)
        self.root = self._key(root.stat().st_ino, new=True)
        self._files: dict[int, _File] = {}
        self._names: dict[int, dict[str, int]] = {self.root: {}}
        self._pending: list[_Entry] = []
        for path in sorted(root.rglob("*")):
            key = self._key(path.stat().st_ino, new=True)
            self._names[self._key(path.parent.stat().st_ino)][path.name] = key
            if path.is_dir():
                self._names[key] = {}
            else:
                self._files[key] = _File(bytearray(path.read_bytes()))

    def _key(self, inode: int, new: bool = False) -> int:
        if new:
            self._keys[inode] = next(self._numbers)
        return self._keys.get(inode, 0)

    def replay(self, log: Path) -> None:
        """Apply a recording."""
        for op, inode, parent, number, name, name2, data in _records(log):
            self.changes += 1
            key, directory = self._key(inode, new=op in "CD"), self._key(parent)
            if op == "W":
                self._files[key].pending.append((number, data))
            elif op == "T":
                self._files[key].pending.append((number, None))
            elif op == "F":
                self._sync(key)
            elif op == "R":
                self._pending.append(_Entry("R", directory, name, 0, self._key(number), name2))
            else:
                if op == "C":
                    self._files[key] = _File()
                elif op == "D":
                    self._names[key] = {}
                self._pending.append(_Entry(op, directory, name, key))

    def _sync(self, key: int) -> None:
        if key in self._files:
            self._files[key].synced()
            return
        for entry in self._pending:
            if key in (entry.parent, entry.parent2):
                _apply(entry, self._names)
        self._pending = [
            entry for entry in self._pending if key not in (entry.parent, entry.parent2)
        ]

    def after_power_loss(self, rng: Random) -> dict[str, bytes | None]:
        """Return what is left: relative paths with their content; None for a directory."""
        kept = rng.choice((0, rng.randint(0, len(self._pending))))
        return self._tree(kept, lambda: rng.choice(_KEPT), rng)

    def without_power_loss(self) -> dict[str, bytes | None]:
        """Return what the directory itself must hold, if the recording misses nothing."""
        return self._tree(len(self._pending), lambda: "kept", Random(0))

    def _tree(self, kept: int, choose: Callable[[], str], rng: Random) -> dict[str, bytes | None]:
        names = {key: dict(entries) for key, entries in self._names.items()}
        for entry in self._pending[:kept]:
            _apply(entry, names)
        found: dict[str, bytes | None] = {}

        def walk(key: int, path: str) -> None:
            for name, child in sorted(names[key].items()):
                if child not in self._files:
                    found[path + name] = None
                    walk(child, f"{path}{name}/")
                # SQLite makes its index of the log again.
                elif not name.endswith("-shm"):
                    found[path + name] = bytes(self._files[child].content(choose(), rng))

        walk(self.root, "")
        return found


def _apply(entry: _Entry, names: dict[int, dict[str, int]]) -> None:
    here = names[entry.parent]
    if entry.op in "CDL":
        here[entry.name] = entry.key
    elif entry.op == "U":
        here.pop(entry.name, None)
    # What was renamed may have been created under a name that never reached the disk.
    elif (key := here.pop(entry.name, None)) is not None:
        names[entry.parent2][entry.name2] = key


def _records(log: Path) -> Iterator[tuple]:
    data, at = log.read_bytes(), 0
    while at + _HEADER.size <= len(data):
        op, inode, parent, number, *sizes = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        parts = []
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        name, name2 = (part.decode() for part in parts[:2])
        yield chr(op), inode, parent, number, name, name2, parts[2]


def write_tree(tree: dict[str, bytes | None], root: Path) -> None:
    """Write what is left after a power loss."""
    for name, content in tree.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(content)


def read_tree(root: Path) -> dict[str, bytes | None]:
    """Read a directory in the form of :meth:`Disk.without_power_loss`."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.name.endswith("-shm")
    }
