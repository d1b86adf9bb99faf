"""Row `damage`: every kind of file is damaged in every way, before every command."""

import re
import shutil
from pathlib import Path
from random import Random

from benchmarks.chaos import forks
from benchmarks.chaos.state import UNREADABLE, Found
from benchmarks.chaos.world import COMMANDS, READS, World

DAMAGES = ("half", "empty", "gone", "flipped")
BASE = "exported"
_COMMANDS = [name for name in COMMANDS if name != "first publish"]
# What names a version, a cutoff, a batch or a hash: one file of each kind is damaged.
_NAMES = re.compile(r"(?<=/)(v\d+|batch-\d+|\d{8}T[\d.]+Z|[0-9a-f]{16,})(?=[/.]|$)")
_REMOVE = re.compile(r"remove ([^\s,;`]+)")
_CURE = re.compile(r"`(ubp [^`]+)`")
_SNAPSHOT = re.compile(r"profiles/v\d+/[^/]+\.parquet")
_OLD = re.compile(r"^(home/(profiles|snapshots|blocks)/|warehouse|served)")


def damages(world: World) -> list[str]:
    """Return every kind of file × damage × command."""
    world.reset("served")
    world.build(BASE, "export {out}/export --blocks counters")
    home = world.directory / "bases" / BASE
    kinds: dict[str, str] = {}
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        if path.is_file() and not name.startswith("data_docs/validations"):
            kinds[_NAMES.sub("*", name)] = name
    return [
        f"{name} {damage} {command}"
        for name in kinds.values()
        for damage in DAMAGES
        for command in _COMMANDS
    ]


def damage(world: World, case: str, rng: Random) -> str | None:
    """Damage a file and run a command; follow the cure if there is one."""
    name, how, command = case.split(" ", 2)
    expected, whole = _expected(world, command)
    before, published = _expected(world, "status")[1], _expected(world, "publish")[1]
    world.reset(BASE)
    path = world.home / name
    if not path.exists():
        return None
    _spoil(path, how, rng)
    left = path.read_bytes() if path.exists() else None
    outcome = world.run(COMMANDS[command].arguments)
    if outcome.code == expected.code == 0:
        if command in READS:
            # What `status` says of a damaged file may differ.
            same = outcome.out == expected.out or command == "status" or name in outcome.err
            return None if same else f"another output: {outcome.out[:200]}"
        # A new warehouse is begun, and the user is told so.
        if how == "gone" and f"{path} was missing" in outcome.out:
            return None
        # A snapshot that is gone was never made: the one before it is published.
        # And what is encoded then may be all, or what has changed since that one.
        if how == "gone" and _SNAPSHOT.fullmatch(name):
            whole = {key: value for key, value in whole.items() if key in before}
            if "publish" in command:
                whole["served"] = before["served"]
        return _another(world, whole, (path, left))
    if outcome.code == expected.code and outcome.error == expected.error:
        return None
    if outcome.code != 2 or "please report it" in outcome.err:
        return f"exit {outcome.code}: {outcome.error}"
    problem = _cured(world, command, outcome.error, path, expected)
    # What a new version holds was not there before.
    if problem or command in READS or "new version" in outcome.error:
        return problem
    # What a cure makes anew has names of its own; what was there before means what it meant.
    found = {key: value for key, value in world.state().items() if key in published}
    unread = _unread(world, path, left)
    # A cure may publish what was encoded.
    if "publish" in outcome.error and found.get("served") == _served_then(world, command):
        found["served"] = whole["served"]
    return _other_values(found, whole, unread, f" after the cure [{outcome.error}]")


def _cured(
    world: World, command: str, message: str, path: Path, expected: forks.Outcome
) -> str | None:
    """Do what a message tells, and run the command again."""
    parents = [path, path.parent] if path.parent != world.home else [path]
    if not any(str(place) in message for place in parents):
        return f"does not name the file: {message}"
    cures = [part.strip() for text in _CURE.findall(message) for part in text.split("&&")]
    removed = [_removed(world, text, message, path) for text in _REMOVE.findall(message)]
    if not cures and not removed:
        return f"no cure: {message}"
    for text in cures:
        for line in _command_lines(text):
            done = world.run(line)
            if done.code:
                return f"the cure `{text}` ends with {done.code}: {done.error} [{message}]"
    # A new version takes the place of a lost one.
    lost = "v1" if "new version" in message else None
    again = world.run("v2" if word == lost else word for word in COMMANDS[command].arguments)
    if again.code != expected.code:
        return f"after the cure, exit {again.code}: {again.error} [{message}]"
    return None


def _removed(world: World, text: str, message: str, path: Path) -> Path:
    """Remove what a message tells to remove; never anything outside the home."""
    if text in ("it", "them", "this"):
        named = [place for place in (path, path.parent) if str(place) in message]
        place = named[0]
    else:
        place = Path(text if text.startswith("/") else world.home / text)
    place = place.resolve()
    if world.home in place.parents:
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    return place


def _command_lines(text: str) -> list[list[str]]:
    """Return a command in a message with its placeholders filled in."""
    words = text.split()[1:]
    if words[0] == "ingest":
        return [["ingest", "{shop}/first"], ["ingest", "{shop}/second"]]
    values = {"CLIENT_ID": "5", "TIME": "2022-11-24", "TABLE": "product_buy"}
    return [[values.get(word, word) for word in words if word != "…"]]


def _another(world: World, whole: Found, damaged: tuple[Path, bytes | None]) -> str | None:
    """Compare what a command leaves in a damaged home with what it leaves in a whole one."""
    skipped = _unread(world, *damaged)
    found = world.state()
    if skipped.endswith((".db", "warehouse.duckdb")):
        found = {key: value for key, value in found.items() if key.startswith("home/")}
    return _other_values(found, whole, skipped, "")


def _unread(world: World, path: Path, left: bytes | None) -> str:
    """Return the name of a file that is as damaged as it was, which is no fault; else nothing."""
    now = path.read_bytes() if path.exists() else None
    return f"home/{path.relative_to(world.home)}" if now == left else ""


def _other_values(found: Found, whole: Found, skipped: str, when: str) -> str | None:
    for key, value in found.items():
        differs = key in whole and value != whole[key] and not value.startswith(UNREADABLE)
        if differs and key != skipped and value not in ("none", "JSON") and _OLD.match(key):
            return f"another {key}{when}"
    return None


def _expected(world: World, name: str) -> tuple[forks.Outcome, Found]:
    key = f"damage {name}"
    if key not in world.expected:
        command = COMMANDS[name]
        world.reset(BASE)
        world.expected[key] = (world.run(command.arguments), world.state())
    return world.expected[key]


def _served_then(world: World, name: str) -> str:
    """Return what is served if a command follows a publish."""
    key = f"served after publish and {name}"
    if key not in world.expected:
        world.reset(BASE)
        world.run(COMMANDS["publish"].arguments)
        world.run(COMMANDS[name].arguments)
        world.expected[key] = world.state().get("served")
    return world.expected[key]


def _spoil(path: Path, how: str, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    if how == "flipped" and content:
        position = rng.randrange(8 * len(content))
        content[position // 8] ^= 1 << position % 8
    path.write_bytes({"half": content[: len(content) // 2], "empty": b""}.get(how, content))
