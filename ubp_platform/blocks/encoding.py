"""Encoding into a snapshot file, slice by slice: memory does not grow with the clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.snapshot import ShopIds, Snapshot
from ubp_platform.blocks.snapshot_files import UNKNOWN, Origin
from ubp_platform.progress import Advance, ProgressFactory, logged
from ubp_platform.warehouse.history import CLIENTS_PER_SLICE, History


def encode_to_file(
    block: Block,
    history: History,
    path: Path,
    made_from: Origin = UNKNOWN,
    progress: ProgressFactory = logged,
    size: int = CLIENTS_PER_SLICE,
    shop_ids: ShopIds | None = None,
) -> None:
    """Encode the relevant clients of a history into a snapshot file, ``size`` clients at a time.

    The other parameters are those of :class:`~ubp_platform.blocks.snapshot.SnapshotWriter`.
    """
    if len(history.clients) <= size:
        # The block's own progress bar shows more.
        block.encode(history, progress).write(path, made_from, shop_ids)
        return
    slices = history.slices(size)
    with progress(f"{block.name}: encode", len(history.clients), "clients") as advance:
        encoded = (_encode_slice(block, part, advance, clients) for clients, part in slices)
        first = next(encoded)
        with first.writer(path, made_from, shop_ids) as writer:
            for snapshot in chain([first], encoded):
                writer.write(snapshot.client_ids, snapshot.vectors)


def _encode_slice(block: Block, history: History, advance: Advance, clients: int) -> Snapshot:
    """Encode a slice; the block's own progress, in any unit, is converted to clients."""
    advanced = 0.0

    @contextmanager
    def in_clients(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        def convert(amount: float) -> None:
            nonlocal advanced
            if total:
                advanced += amount / total * clients
                advance(amount / total * clients)

        yield convert

    snapshot = block.encode(history, in_clients)
    advance(clients - advanced)
    return snapshot
