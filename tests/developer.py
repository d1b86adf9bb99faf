"""What a developer's machine has set, out of the way of the tests.

Imported before anything else, as long as the process has one thread.
"""

import atexit
import os
import shutil
import tempfile
import time

# Where state lies, which server is asked, where models and configurations are looked for, how wide
# and how coloured a terminal is.
_PREFIXES = (
    *("UBP_", "FEAST_", "GX_", "HF_", "HUGGING", "TRANSFORMERS_", "TOKENIZERS_", "MPL", "XDG_"),
    *("TYPER_", "_TYPER_", "RICH_", "TTY_", "CLICOLOR", "LC_"),
)
_NAMES = (
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLORTERM"),
    *("GITHUB_ACTIONS", "LANG", "LANGUAGE", "PYTHONWARNINGS", "MATPLOTLIBRC"),
)
_FIXED = {
    "TERM": "dumb",
    "LC_ALL": "C.UTF-8",
    # Not UTC, and half an hour beside the others: who forgets the zone is found out.
    "TZ": "Asia/Kolkata",
    # The same numbers on a machine with a GPU.
    "CUDA_VISIBLE_DEVICES": "",
    # As the command line does: read when OpenMP is loaded.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Each core has a process of tests already, and what they compute is tiny.
    "OMP_NUM_THREADS": "1",
}


def forget() -> None:
    """Set the environment that tests run in, with a home directory that is empty."""
    for name in [*os.environ]:
        if name.startswith(_PREFIXES) or name in _NAMES:
            del os.environ[name]
    os.environ.update(_FIXED)
    time.tzset()
    os.environ["HOME"] = tempfile.mkdtemp(prefix="ubp_tests_")
    atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
