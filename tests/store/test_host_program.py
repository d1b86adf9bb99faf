"""A program that uses the library finds its own settings unchanged."""

import os
import subprocess
import sys

from pipelines.publish import publish
from tests.pipelines.job import LATER
from ubp_platform.home import PROJECT_ROOT, Home

# Packages of others change settings as they are imported, so these imports come first.
HOST = """
import atexit, locale, logging, signal, sys, warnings
import feast, ibis, pandas as pd, scipy.sparse, typeguard
import feast.infra.offline_stores.duckdb, feast.infra.online_stores.sqlite

def settings():
    return {
        "typeguard": typeguard.typechecked,
        "default connection": ibis.options.default_backend,
        "warning filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "at exit": atexit._ncallbacks(),
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, list(sys.meta_path)),
        "streams": (sys.stdout, sys.stderr),
        "path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "handlers": (list(logging.root.handlers), logging.root.level),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
    }

home, time = sys.argv[1:]
warnings.simplefilter("error", DeprecationWarning)
before = settings()
from ubp_platform.store.retrieval import ProfileStore
assert settings() == before, (before, settings())
store = ProfileStore(home)
entities = pd.DataFrame({"client_id": [1, 2, -1], "event_timestamp": time})
assert store.training_set(entities).known.tolist() == [True, True, False]
assert store.lookup(1).known
assert settings() == before, (before, settings())
"""
# With type checks, a class of Feast's refuses a number as a name. Only what needs torch imports it.
UNCHECKED = """
import typeguard
original = typeguard.typechecked
from ubp_platform.store.fast_import import fast_feast_import
fast_feast_import()
assert typeguard.typechecked is original
import feast, importlib.util, sys
from feast.torch_wrapper import get_torch
assert "torch" not in sys.modules
if importlib.util.find_spec("torch"):
    assert get_torch().__name__ == "torch"
feast.Entity(name=5, value_type=feast.ValueType.INT64)
"""


def python(program: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=PROJECT_ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )


def test_reading_profiles_changes_nothing_in_the_process(home: Home) -> None:
    publish(home)
    done = python(HOST, home.root, LATER)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_line_alone_imports_feast_without_type_checks_and_torch() -> None:
    done = python(UNCHECKED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
