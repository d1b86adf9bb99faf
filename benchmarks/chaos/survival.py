"""Rows `kill` and `power`: a command ends in the middle, and is run again."""

import ctypes
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

import safetensors
import safetensors.numpy
import safetensors.torch

from benchmarks.chaos import forks
from benchmarks.chaos.recording import Disk, read_tree, write_tree
from benchmarks.chaos.shim import is_loaded
from benchmarks.chaos.state import debris, without_names
from benchmarks.chaos.world import WRITES, World


@dataclass(frozen=True)
class Expected:
    """What a command does when nothing happens: run once, and run again."""

    seconds: float
    codes: tuple[int, ...]
    states: tuple[list[str], ...]
    changes: int


def kill(world: World, name: str, rng: Random) -> str | None:
    """Kill a command at a random moment; return what is wrong then."""
    command, expected = WRITES[name], _expected(world, name)
    world.reset(command.base)
    world.run(command.arguments, kill_after=rng.uniform(0, expected.seconds))
    return _survived(world, name)


def power(world: World, name: str, rng: Random) -> str | None:
    """Cut the power at a random change of a file; return what is wrong then."""
    command, expected = WRITES[name], _expected(world, name)
    world.reset(command.base)
    # One more than there are: the power may also be lost when all is done.
    at = rng.randint(1, expected.changes + 1)
    disk = record(world.root, at, forks.ubp, *world.arguments(command.arguments))
    told, there = disk.without_power_loss(), read_tree(world.root)
    # The copies of the warehouse are made by another process, and outlive none.
    names = [name for name in told | there if not name.startswith("home/scratch/.")]
    if missed := [name for name in names if told.get(name, 0) != there.get(name, 0)]:
        return f"the recording misses changes of {missed}: a fault of this program"
    tree = disk.after_power_loss(rng)
    shutil.rmtree(world.root)
    world.root.mkdir()
    write_tree(tree, world.root)
    world.out.mkdir(exist_ok=True)
    found = _survived(world, name)
    return found and f"change {at} of {expected.changes}: {found}"


def record(root: Path, kill_at: int, function, *arguments: object) -> Disk:
    """Call a function in a fork that is killed at one of its changes below a directory."""
    disk = Disk(root)
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        log = Path(directory) / "log"
        forks.call(_recorded, root, log, kill_at, function, arguments)
        disk.replay(log)
    return disk


def _recorded(root: Path, log: Path, kill_at: int, function, arguments: tuple) -> None:
    start = ctypes.CDLL(None).chaos_start
    for module in (safetensors.numpy, safetensors.torch):
        module.serialize_file = _serialize_file
    start(str(root).encode(), str(log).encode(), ctypes.c_long(kill_at))
    function(*arguments)


def _serialize_file(tensors: dict, path: Path, metadata: dict | None = None) -> None:
    """Do what safetensors does, whose rename goes past the C library: write aside, and rename."""
    aside = Path(f"{path}.tmp")
    aside.write_bytes(safetensors.serialize(tensors, metadata))
    aside.rename(path)


def _expected(world: World, name: str) -> Expected:
    if name not in world.expected:
        command, changes = WRITES[name], 0
        world.reset(command.base)
        once = world.run(command.arguments)
        states = [without_names(world.state())]
        again = world.run(command.arguments)
        states.append(without_names(world.state()))
        if is_loaded():
            world.reset(command.base)
            arguments = world.arguments(command.arguments)
            changes = record(world.root, 0, forks.ubp, *arguments).changes
        codes = (once.code, again.code)
        world.expected[name] = Expected(once.seconds, codes, tuple(states), changes)
    return world.expected[name]


def _survived(world: World, name: str) -> str | None:
    """Check what a command left that ended in the middle, and run it again."""
    command, expected = WRITES[name], world.expected[name]
    status = world.run(["status"])
    if status.code:
        return f"status: {status.code}, {status.error}"
    again = world.run(command.arguments)
    if again.code not in expected.codes:
        return f"run again: {again.code}, {again.error}"
    state = without_names(world.state())
    if state not in expected.states:
        return f"another state: {' | '.join(sorted({*state} ^ {*expected.states[0]}))[:400]}"
    if left := debris(world.root):
        return f"debris: {', '.join(left)}"
    return None
