"""Golden values: the losses and vectors of each block's fit in the preset ``small``.

``python -m tests.blocks.golden [BLOCK …]`` rewrites them for these blocks (all by default).
A change that moves them on purpose is committed with the new file, and gives the reason.
"""

import json
import platform
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from threadpoolctl import threadpool_info, threadpool_limits

from tests.blocks.contract import CUTOFF
from tests.shops import land, random_shop
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.warehouse import Warehouse

FILE = Path(__file__).with_name("golden.safetensors")
#: Clients in the fit, and clients whose vectors are kept.
CLIENTS, KEPT = 48, 12
_LIBRARIES = ("implicit", "lightfm-next", "numpy", "scipy", "torch", "transformers")


@dataclass(frozen=True)
class Golden:
    """The result of a fit.

    Parameters
    ----------
    curves : dict of str to list of float
    loss : float or None
    client_ids : ndarray of int64, shape (KEPT,)
    vectors : ndarray of float32, shape (KEPT, dim)
    names : list of str or None
        Feature names.
    """

    curves: dict[str, list[float]]
    loss: float | None
    client_ids: np.ndarray
    vectors: np.ndarray
    names: list[str] | None

    def of(self, names: list[str] | None) -> np.ndarray:
        """Return the columns of some features; a block may have more by now."""
        if names is None or self.names is None:
            return self.vectors
        return self.vectors[:, [self.names.index(name) for name in names]]


def processor() -> dict[str, Any]:
    """Return what the last digits depend on: the processor, its instructions, the libraries."""
    lines = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = {line.partition(":")[2].strip() for line in lines.splitlines() if "model name" in line}
    blas = {library.get("architecture") for library in threadpool_info()} - {None}
    return {
        "model": sorted(names) or [platform.processor()],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "blas": sorted(blas),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def shop(directory: Path) -> Warehouse:
    """Make the shop that all blocks are fitted on."""
    # Few events: with many, iALS amplifies the last digits, which differ between machines.
    tables = random_shop(seed=11, clients=CLIENTS, events=100)
    return land(directory / "warehouse.duckdb", tables)


def fit(name: str, warehouse: Warehouse) -> Golden:
    """Fit a block of the preset ``small`` with seed 0, and encode, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            block = block_class(name).from_preset("small", seed=0)
            snapshot = block.fit(warehouse.history(CUTOFF)).encode(warehouse.history(CUTOFF))
    finally:
        torch.set_num_threads(before)
    kept = slice(0, KEPT)
    report = block.report_
    return Golden(
        report.curves,
        report.loss,
        snapshot.client_ids[kept],
        snapshot.vectors[kept],
        None if snapshot.names is None else list(snapshot.names),
    )


def read() -> tuple[dict[str, Golden], dict[str, dict[str, Any]]]:
    """Return the golden values of each block, and the processor they were made on."""
    if not FILE.exists():
        return {}, {}
    with safe_open(FILE, framework="numpy") as file:
        described = {name: json.loads(text) for name, text in file.metadata().items()}
        golden = {
            name: Golden(
                what["curves"],
                what["loss"],
                file.get_tensor(f"{name}.client_ids"),
                file.get_tensor(f"{name}.vectors"),
                what["names"],
            )
            for name, what in described.items()
        }
    return golden, {name: what["processor"] for name, what in described.items()}


def main() -> None:
    """Write the file."""
    golden, processors = read()
    with tempfile.TemporaryDirectory() as directory, shop(Path(directory)) as warehouse:
        for name in sys.argv[1:] or list(block_names()):
            golden[name], processors[name] = fit(name, warehouse), processor()
    arrays, described = {}, {}
    for name, values in golden.items():
        arrays[f"{name}.client_ids"] = values.client_ids
        arrays[f"{name}.vectors"] = np.ascontiguousarray(values.vectors)
        what = {
            "curves": values.curves,
            "loss": values.loss,
            "names": values.names,
            "processor": processors[name],
        }
        described[name] = json.dumps(what)
    FILE.write_bytes(save(arrays, metadata=described))


if __name__ == "__main__":
    main()
