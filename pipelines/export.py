"""``ubp export``: the profile and the split of an evaluation, as files for other programs."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ubp_platform.blocks.registry import profile_blocks
from ubp_platform.choices import ExportFormat, Preset, ProfileKind
from ubp_platform.evaluation.backtest import Backtest, backtest, plan
from ubp_platform.evaluation.export import appearing, write_embeddings, write_split
from ubp_platform.evaluation.tasks import Targets
from ubp_platform.home import Home
from ubp_platform.locks import shared
from ubp_platform.profile.version import checked_width
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen, warn_of_changes

# Part of DuckDB's memory limit while it writes; otherwise it would cache everything it reads.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class ExportedFile:
    """A written file.

    Parameters
    ----------
    name : str
        Path within the directory.
    rows : int
    columns : int
    """

    name: str
    rows: int
    columns: int


@dataclass(frozen=True)
class Exported:
    """The result of ``ubp export``.

    Parameters
    ----------
    directory : Path
    tested : Backtest
        The exported profile.
    files : list of ExportedFile
    unavailable_tasks : dict of str to str
        Tasks without classes in this log, with the reasons.
    next : str
        The command that scores the exported embeddings.
    """

    directory: Path
    tested: Backtest
    files: list[ExportedFile]
    unavailable_tasks: dict[str, str]
    next: str


def export(
    home: Home,
    directory: Path,
    format: ExportFormat = "challenge",
    blocks: Sequence[str] = (),
    progress: ProgressFactory = logged,
    *,
    profile: ProfileKind = "default",
    width: int | None = None,
    preset: Preset = "small",
    model: str | None = None,
    clients: Path | None = None,
    classes: Path | None = None,
) -> Exported:
    """Write embeddings and the data to score them on, in the challenge's format.

    Parameters
    ----------
    home : Home
    directory : Path
        Receives all files at the end; created if needed.
    format : {"challenge"}
    blocks : sequence of str
        Names and patterns of the profile's blocks.
    progress : ProgressFactory
    profile : {"default", "paper"}
        The blocks if none are named.
    width : int, optional
        Number of leading columns to write; all by default.
    preset : {"small", "paper"}
        Preset of the blocks.
    model : str, optional
        Language model of the blocks that use one.
    clients : Path, optional
        File that lists the clients to export; by default the relevant clients, or all with an event
        in the input.
    classes : Path, optional
        A directory of class lists and popularities.

    Returns
    -------
    Exported

    Raises
    ------
    UBPError
        If the directory has such files already, the log is too short, or an argument or a file is
        invalid; the directory is then unchanged.
    """
    wanted = profile_blocks(profile, blocks)
    with (
        shared(home, "evaluate"),
        frozen(home) as copy,
        Warehouse(copy.warehouse) as warehouse,
        appearing(directory) as new,
    ):
        split, listed = plan(copy, clients)
        targets = Targets(warehouse, split, listed, classes)
        tested = backtest(copy, split, listed, wanted, preset, model, progress)
        ids = warehouse.identifiers("client_id").ids(listed)
        write_embeddings(new, ids, tested.matrix[:, : checked_width(tested.version, width)])
        with Warehouse(copy.warehouse, memory_share=_MEMORY_SHARE) as frugal:
            unavailable = write_split(new, frugal, split, targets, progress)
        files = list(_describe(new))
        warn_of_changes(copy, [split.end], "ubp export")
    return Exported(
        directory=directory,
        tested=tested,
        files=files,
        unavailable_tasks=unavailable,
        next=_next(directory, bool(clients), bool(classes)),
    )


def _describe(directory: Path) -> Iterator[ExportedFile]:
    for path in sorted(directory.rglob("*"), key=lambda path: (len(path.parts), path)):
        if path.is_dir():
            continue
        if path.suffix == ".parquet":
            metadata = pq.read_metadata(path)
            rows, columns = metadata.num_rows, metadata.num_columns
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            rows, columns = len(array), array.shape[1] if array.ndim == 2 else 1
        yield ExportedFile(str(path.relative_to(directory)), rows, columns)


def _next(directory: Path, clients: bool, classes: bool) -> str:
    words = ["ubp", "evaluate", "--embeddings", str(directory)]
    if clients:
        words += ["--clients", str(directory / "client_ids.npy")]
    if classes:
        words += ["--classes", str(directory / "target")]
    return shlex.join(words)
