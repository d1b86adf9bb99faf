"""Take out each guard against the future, and see its tests fail: ``tests/mutations.toml``.

The last line is JSON: the number of guards, and those whose absence a test did not see.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from ubp_platform.home import PROJECT_ROOT

LIST = PROJECT_ROOT / "tests" / "mutations.toml"
FOLDERS = [
    "ubp_platform",
    "pipelines",
    "tests",
    "benchmarks",
    "docs",
    "expectations",
    "feature_repo",
]
FILES = ("cli.py", "pyproject.toml", "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only guards whose name contains this")
    only, unseen = parser.parse_args().only, []
    mutations = tomllib.loads(LIST.read_text("utf-8"))["mutation"]
    mutations = [mutation for mutation in mutations if only in mutation["guard"]]
    for mutation in mutations:
        passed = passing(mutation)
        print(f"{'NOT SEEN' if passed else 'seen'}: {mutation['guard']}", *passed, sep="\n  ")
        unseen += [mutation["guard"]] if passed else []
    print(json.dumps({"benchmark": "mutations", "guards": len(mutations), "unseen": unseen}))
    sys.exit(bool(unseen))


def passing(mutation: dict[str, Any]) -> list[str]:
    """Return the tests of a mutation that pass in a copy of the project with it."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copy = Path(directory)
        for name in FOLDERS:
            shutil.copytree(PROJECT_ROOT / name, copy / name)
        for name in FILES:
            shutil.copy(PROJECT_ROOT / name, copy)
        path = copy / mutation["file"]
        text = path.read_text("utf-8")
        if text.count(mutation["old"]) != 1:
            sys.exit(f"{LIST.name}: {mutation['file']} has not once {mutation['old']!r}")
        path.write_text(text.replace(mutation["old"], mutation["new"]), "utf-8")
        options = ["-rfE", "-n", "2", "--no-header", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *mutation["tests"]],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
        )
    # 1: tests failed. Anything else is a mistake in the list.
    if done.returncode not in (0, 1):
        sys.exit(done.stdout + done.stderr)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return [test for test in mutation["tests"] if not any(one.startswith(test) for one in failed)]


if __name__ == "__main__":
    main()
