"""``ubp export``: the profile at the split, and the split itself, as files for others' programs."""

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
from ubp_platform.profile.version import checked_width
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse import Warehouse

# DuckDB keeps what it has read; vectors and targets are in memory beside it.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Parameters
    ----------
    name : str
        Its path in the directory.
    rows : int
    columns : int
    """

    name: str
    rows: int
    columns: int


@dataclass(frozen=True)
class Exported:
    """What ``ubp export`` did.

    Parameters
    ----------
    directory : Path
    tested : Backtest
        The profile that was written.
    files : list of ExportedFile
    unavailable_tasks : dict of str to str
        Tasks that have no classes in this log, with the reason.
    next : str
        The command that scores what was written.
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
    progress: ProgressFactory = silent,
    *,
    profile: ProfileKind = "default",
    width: int | None = None,
    preset: Preset = "small",
    model: str | None = None,
    clients: Path | None = None,
    classes: Path | None = None,
) -> Exported:
    """Write embeddings and the data to judge them on, in the challenge's format.

    Parameters
    ----------
    home : Home
    directory : Path
        Gets the files, all of them at the end; made where it does not exist.
    format : {"challenge"}
    blocks : sequence of str
        The blocks of the profile, also patterns.
    progress : ProgressFactory
    profile : {"default", "paper"}
        Which blocks it has where none are named.
    width : int, optional
        How many of its numbers to write, the first ones; all by default.
    preset : {"small", "paper"}
        Of the blocks.
    model : str, optional
        The language model of the blocks that use one.
    clients : Path, optional
        Lists the clients to export; by default all with an event in the input.
    classes : Path, optional
        A directory of class lists and popularities.

    Returns
    -------
    Exported

    Raises
    ------
    UBPError
        If the directory holds such files already, the log is too short, or an argument or a file
        is wrong; then the directory is as it was.
    """
    wanted = profile_blocks(profile, blocks)
    # Open throughout: nothing lands between the profile and the files beside it.
    with Warehouse(home.warehouse) as warehouse, appearing(directory) as new:
        split, listed = plan(home, clients)
        targets = Targets(warehouse, split, listed, classes)
        tested = backtest(home, split, listed, wanted, preset, model, progress)
        narrow = checked_width(tested.version, width)
        ids = warehouse.identifiers("client_id").ids(listed)
        write_embeddings(new, ids, tested.matrix[:, :narrow])
        with Warehouse(home.warehouse, memory_share=_MEMORY_SHARE) as frugal:
            unavailable = write_split(new, frugal, split, targets, progress)
        files = list(_describe(new))
    return Exported(
        directory, tested, files, unavailable, _next(directory, bool(clients), bool(classes))
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
