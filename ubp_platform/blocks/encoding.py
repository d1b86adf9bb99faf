"""A block's snapshot written slice by slice: memory grows with the slice, not with the clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.snapshot import ShopIds, Snapshot, SnapshotWriter
from ubp_platform.progress import Advance, ProgressFactory, silent
from ubp_platform.warehouse.history import CLIENTS_PER_SLICE, History


def encode(
    block: Block,
    history: History,
    path: Path,
    identity: str = "",
    progress: ProgressFactory = silent,
    size: int = CLIENTS_PER_SLICE,
    shop_ids: ShopIds | None = None,
) -> None:
    """Encode the relevant clients of a history into a file, which appears whole or not at all.

    Parameters
    ----------
    block : Block
        Fitted.
    history : History
    path : Path
    identity : str
        What the snapshot is made from.
    progress : ProgressFactory
    size : int
        Clients in a slice.
    shop_ids : callable, optional
        As of :class:`~ubp_platform.blocks.snapshot.SnapshotWriter`.
    """
    if len(history.clients) <= size:
        # The block's own bar says more.
        block.encode(history, progress).write(path, identity, shop_ids)
        return
    slices = history.slices(size)
    title = f"{block.name}: encode"
    with progress(title, len(history.clients), "clients") as advance:
        clients, part = next(slices)
        first = _encode(block, part, advance, clients)
        width = first.vectors.shape[1]
        with SnapshotWriter(path, first.cutoff, width, first.names, identity, shop_ids) as writer:
            writer.write(first.client_ids, first.vectors)
            for clients, part in slices:
                found = _encode(block, part, advance, clients)
                writer.write(found.client_ids, found.vectors)


def _encode(block: Block, history: History, advance: Advance, clients: int) -> Snapshot:
    """Encode a slice; the block's own bars, of any unit, move another by so many clients in all."""
    moved = 0.0

    @contextmanager
    def share(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        def move(amount: float) -> None:
            nonlocal moved
            if total:
                moved += amount / total * clients
                advance(amount / total * clients)

        yield move

    found = block.encode(history, share)
    advance(clients - moved)
    return found
