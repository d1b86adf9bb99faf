"""A home with random profiles of full width, for the benchmarks of the store."""

from datetime import UTC, datetime, timedelta

import numpy as np
from safetensors.numpy import save_file

from ubp_platform.blocks.catalog import new_version
from ubp_platform.blocks.snapshot import ROWS_A_GROUP, SnapshotWriter
from ubp_platform.home import Home
from ubp_platform.profile.version import Description, Part, ProfileVersion

FIRST = datetime(2022, 6, 1, tzinfo=UTC)


def make_profiles(home: Home, clients: int, cutoffs: int, width: int) -> ProfileVersion:
    """Write a profile version of unit vectors; client ids are odd numbers."""
    part = Part(
        block="gru_ae_week_all", version="v1", fit_cutoff=FIRST, kind="unit", start=0, width=width
    )
    description = Description(parts=[part], normalizer_cutoff=FIRST, created_at=FIRST)

    def write(directory):
        (directory / "profile.json").write_text(description.model_dump_json())
        mean = {"gru_ae_week_all.mean": np.zeros(width, np.float32)}
        save_file(mean, directory / "normalizers.safetensors")

    version = ProfileVersion.load(new_version(home.profiles, write))
    rng = np.random.default_rng(0)
    for number in range(cutoffs):
        cutoff = FIRST + timedelta(days=14 * number)
        with SnapshotWriter(version.snapshot_path(cutoff), cutoff, width) as writer:
            for start in range(0, clients, ROWS_A_GROUP):
                ids = np.arange(start, min(start + ROWS_A_GROUP, clients)) * 2 + 1
                vectors = rng.standard_normal((len(ids), width), dtype=np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                writer.write(ids, vectors)
    return version
