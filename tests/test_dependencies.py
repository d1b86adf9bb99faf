"""What is imported is declared in pyproject.toml, under what needs it, and nothing else is."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.installed import OWNERS, closure, names, requirements
from ubp_platform.home import PROJECT_ROOT

#: What the Makefile and the tests run, and do not import.
TOOLS = {
    "editables",
    "flask",
    "flask-cors",
    "hatchling",
    "mypy",
    "pre-commit",
    "pytest-xdist",
    "ruff",
}
OURS = {"ubp_platform", "pipelines", "cli", "tests", "benchmarks", "docs"}
# Tells what of ours is loaded for reading profiles, where some packages are not to be had.
READER = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import ubp_platform.store.retrieval
import ubp_platform.store.offline
import ubp_platform.store.redis
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "ubp_platform"]))
"""


def files(*places: str) -> list[Path]:
    paths = [PROJECT_ROOT / place for place in places]
    return [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]


def imported(paths: Iterable[Path], functions: bool = True) -> set[str]:
    """Name what others have made of what is imported, or looked for by ``find_spec("name")``.

    Parameters
    ----------
    paths : iterable of Path
    functions : bool
        Whether imports count that are done when a function is called, or for type checks alone.
    """
    found, declared = set(), names()
    for path in paths:
        for name in _imported(ast.parse(path.read_text("utf-8")), functions):
            if name not in OURS and name not in sys.stdlib_module_names:
                assert name in OWNERS, f"{path}: {name} is imported, and nobody has brought it"
                found |= OWNERS[name] & declared or OWNERS[name]
    return found


def _imported(tree: ast.AST, functions: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name.split(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.split(".")[0]
            case ast.Call(func=ast.Name("find_spec"), args=[ast.Constant(str(name))]):
                if name in OWNERS:
                    yield name
        if functions or not isinstance(node, ast.FunctionDef | ast.If):
            yield from _imported(node, functions)


def test_reading_profiles_takes_the_base_and_all_of_it() -> None:
    there = closure(requirements("base"))
    absent = [name for name, owners in OWNERS.items() if not owners & {*there, "ubp-platform"}]
    assert {"torch", "transformers", "great_expectations", "sklearn"} <= {*absent}
    done = subprocess.run(
        [sys.executable, "-c", READER, *absent], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    specs = [find_spec(name) for name in json.loads(done.stdout)]
    paths = [Path(spec.origin) for spec in specs if spec and spec.origin]
    assert imported(paths, functions=False) == names("base")


def test_what_reads_no_profile_loads_neither_feast_nor_torch() -> None:
    """They take ten seconds to load, so that `ubp status` and the like do without."""
    program = "import sys, cli, pipelines.status; print({'feast', 'torch'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_the_application_imports_what_is_declared_and_all_of_it() -> None:
    # What the extra `s3` has is loaded by fsspec.
    found = imported(files("ubp_platform", "pipelines", "cli.py", "feature_repo"))
    assert found == names("base", "train", "serve", "client", "demo", "ray")


def test_tests_and_benchmarks_import_what_is_declared() -> None:
    # A program of its own, in an environment of its own, says its docstring.
    foreign = PROJECT_ROOT / "benchmarks" / "lifestream.py"
    ours = [path for path in files("tests", "benchmarks", "docs/build.py") if path != foreign]
    found = imported(ours) | TOOLS
    assert found <= names()
    assert found >= names("dev")


def test_ranges_are_declared_and_the_lock_lies_within_them() -> None:
    lines = (PROJECT_ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    locked = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for need in requirements():
        assert {bound.operator for bound in need.specifier} == {">=", "<"}, need
        assert need.specifier.contains(locked[canonicalize_name(need.name)]), need
