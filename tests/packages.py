"""Packages of other people that register blocks: installed for a while, as Python sees them."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path

from ubp_platform.blocks import registry


@contextmanager
def installed(
    directory: Path, name: str, modules: Mapping[str, str], blocks: Mapping[str, str]
) -> Iterator[None]:
    """Put a package and its metadata on the path until the ``with`` statement ends.

    Parameters
    ----------
    directory : Path
        Gets the package; one of its own.
    name : str
        The package's.
    modules : mapping of str to str
        Source text by the module's name.
    blocks : mapping of str to str
        The entry points.
    """
    (directory / name).mkdir(parents=True)
    for module, text in {"__init__": "", **modules}.items():
        (directory / name / f"{module}.py").write_text(text)
    metadata = directory / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}\n" for key, value in blocks.items()]
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{''.join(lines)}")
    sys.path.insert(0, str(directory))
    invalidate_caches()
    registry.registered.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        registry.registered.cache_clear()
        for module in [key for key in sys.modules if key.split(".")[0] == name]:
            del sys.modules[module]
