"""Blocks of the paper's sizes into profiles of 1066 numbers, as large as the file that is written.

Vectors are random; each block lacks every tenth client. What is compared is copying the same
profiles from one snapshot to another.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.machine import PeakMemory, report
from benchmarks.profiles import FIRST
from ubp_platform.blocks.base import REGISTRY, block_class
from ubp_platform.blocks.catalog import Catalog, new_version
from ubp_platform.blocks.handcrafted import NAMES
from ubp_platform.blocks.snapshot import ROWS_A_GROUP, SnapshotWriter, iterate
from ubp_platform.home import Home
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.normalizer import Normalizer
from ubp_platform.profile.version import Description, Part, ProfileVersion

#: Numbers of a block's vector in the preset ``paper``; 576 is the width of SmolLM2-135M.
WIDTHS = dict.fromkeys(("ials_categories", "ials_page_visits", "lightfm"), 64)
WIDTHS |= {
    "next_product": 128,
    "next_url": 192,
    "gru_ae_day_event_type": 128,
    "handcrafted": len(NAMES),
}
WIDTHS |= dict.fromkeys(("gru_ae_all", "gru_ae_week_all", "gru_ae_sku_text"), 512)
WIDTHS |= {name: 576 for name in REGISTRY if name.startswith("lm_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50_000)
    clients = parser.parse_args().clients
    with tempfile.TemporaryDirectory() as directory:
        home = Home(home=Path(directory))
        version = write_blocks(home, clients)
        start = time.perf_counter()
        with PeakMemory() as peak:
            path = assemble(home, version, FIRST)
        ours = time.perf_counter() - start
        start = time.perf_counter()
        with SnapshotWriter(Path(directory) / "copy.parquet", FIRST, version.width) as writer:
            for ids, vectors in iterate(path):
                writer.write(ids, vectors)
        plain = time.perf_counter() - start
    report(
        "assembly",
        f"Profiles of {clients:,} clients × {version.width} from {len(WIDTHS)} blocks",
        [
            ("copying the profiles", f"{plain:.1f} s"),
            ("assembling them", f"{ours:.1f} s, {clients / ours:,.0f} clients/s"),
            ("ratio of times", f"{ours / plain:.1f}×"),
            ("peak memory", f"{peak.gigabytes:.2f} GB"),
        ],
        clients=clients,
        seconds=round(ours, 1),
        ratio=round(ours / plain, 2),
        peak_gb=round(peak.gigabytes, 2),
    )


def write_blocks(home: Home, clients: int) -> ProfileVersion:
    """Write a snapshot of every block, and a version with normalizers fitted on the first ones."""
    rng, arrays, parts, start = np.random.default_rng(0), {}, [], 0
    for number, name in enumerate(REGISTRY):
        block = block_class(name)
        names = NAMES if name == "handcrafted" else None
        path = Catalog(home).snapshot_path(name, "v1", FIRST)
        with SnapshotWriter(path, FIRST, WIDTHS[name], names) as writer:
            for first in range(0, clients, ROWS_A_GROUP):
                ids = np.arange(first, min(first + ROWS_A_GROUP, clients))
                ids = ids[ids % 10 != number % 10]
                vectors = rng.standard_normal((len(ids), WIDTHS[name]), dtype=np.float32)
                writer.write(ids, vectors)
                if not first:
                    normalizer = Normalizer.fit(vectors, block.normalization, block.components)
        arrays |= {f"{name}.{key}": array for key, array in normalizer.arrays.items()}
        parts.append(
            Part(
                block=name,
                version="v1",
                fit_cutoff=FIRST,
                kind=normalizer.kind,
                start=start,
                width=normalizer.width,
            )
        )
        start += normalizer.width
    description = Description(parts=parts, normalizer_cutoff=FIRST, created_at=FIRST)

    def write(directory: Path) -> None:
        (directory / "profile.json").write_text(description.model_dump_json())
        save_file(arrays, directory / "normalizers.safetensors")

    return ProfileVersion.load(new_version(home.profiles, write))


if __name__ == "__main__":
    main()
