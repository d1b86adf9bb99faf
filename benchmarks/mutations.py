"""Take out each guard against the future, and see that a test fails: ``tests/mutations.toml``.

The last line is JSON: the number of guards, and those whose test did not fail.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from ubp_platform.home import PROJECT_ROOT

LIST = PROJECT_ROOT / "tests" / "mutations.toml"
COPIED = ("ubp_platform", "pipelines", "tests", "benchmarks", "expectations", "feature_repo")
FILES = ("cli.py", "pyproject.toml")


def main() -> None:
    unseen = []
    mutations = tomllib.loads(LIST.read_text("utf-8"))["mutation"]
    for mutation in mutations:
        failed = fails(mutation)
        print(f"{'seen' if failed else 'NOT SEEN'}: {mutation['guard']} ({mutation['test']})")
        unseen += [] if failed else [mutation["guard"]]
    print(json.dumps({"benchmark": "mutations", "guards": len(mutations), "unseen": unseen}))
    sys.exit(bool(unseen))


def fails(mutation: dict[str, str]) -> bool:
    """Whether the test of a mutation fails in a copy of the project with it."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copy = Path(directory)
        for name in COPIED:
            shutil.copytree(PROJECT_ROOT / name, copy / name)
        for name in FILES:
            shutil.copy(PROJECT_ROOT / name, copy)
        path = copy / mutation["file"]
        text = path.read_text("utf-8")
        if text.count(mutation["old"]) != 1:
            sys.exit(f"{LIST.name}: {mutation['file']} has not once {mutation['old']!r}")
        path.write_text(text.replace(mutation["old"], mutation["new"]), "utf-8")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "no:cacheprovider",
                mutation["test"],
            ],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
        )
        # 1: tests failed. Anything else is a mistake in the list.
        if done.returncode not in (0, 1):
            sys.exit(done.stdout + done.stderr)
        return done.returncode == 1


if __name__ == "__main__":
    main()
