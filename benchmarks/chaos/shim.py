"""The library that records what a process writes."""

import ctypes
import shutil
import subprocess
from pathlib import Path

SHIM = Path(__file__).with_name("shim.c")


def compiled(directory: Path) -> Path | None:
    """Compile the shim; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = directory / "shim.so"
    flags = ["-shared", "-fPIC", "-O1", "-o", str(library)]
    subprocess.run([compiler, *flags, str(SHIM), "-ldl", "-lpthread"], check=True)
    return library


def is_loaded() -> bool:
    """Whether this process has been started with the shim."""
    return hasattr(ctypes.CDLL(None), "chaos_start")
