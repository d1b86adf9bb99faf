"""Rows as SQLite and Redis hold them, read without Feast's objects, which cost most of a lookup.

The form of keys and tables is Feast's; ``tests/store/test_feast_internals.py`` compares them.
"""

import struct
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
from feast import FeatureView
from feast.infra.provider import Provider
from feast.repo_config import RepoConfig

from ubp_platform.store import feast_internals as feast


class StoredRows:
    """The rows of clients in an online store.

    Parameters
    ----------
    provider : Provider
    config : RepoConfig
    entity : str
        The name of the key.
    """

    def __init__(self, provider: Provider, config: RepoConfig, entity: str) -> None:
        self._provider, self._config = provider, config
        of_number, of_text = (
            feast.serialized(config, feast.entity_key(entity, value)) for value in (0, "")
        )
        # They end with the number, and with the text and its length before it.
        self._before_number, self._before_text = of_number[:-8], of_text[:-4]
        #: Whether the store is one of the two.
        self.can_be_read = feast.is_sqlite(provider) or feast.is_redis(config)

    def key(self, client_id: int | str) -> bytes:
        """Return the key of a client's row."""
        if isinstance(client_id, str):
            text = client_id.encode()
            return self._before_text + struct.pack("<I", len(text)) + text
        return self._before_number + struct.pack("<q", client_id)

    def read(self, view: FeatureView, client_ids: Sequence[int | str]) -> list[bytes | None]:
        """Read the messages of some clients, in their order; None for those who have none."""
        keys = [self.key(one) for one in client_ids]
        return feast.stored_messages(self._provider, self._config, view, keys)


def profile_of(client_id: int | str, message: bytes) -> tuple[datetime, np.ndarray] | None:
    """Read a message of a profile.

    Returns
    -------
    (datetime, ndarray of float32) or None
        The cutoff, and the numbers. None if the message has not the form of this release: Feast
        may be able to read it.

    Raises
    ------
    ValueError
        If it is not what was written for this client.
    """
    frame = _frame_of(len(message))
    if frame is None or not message.startswith(frame.header):
        return None
    end = len(frame.header) + 4 * frame.width
    cutoff_tag, at, checksum_tag, checksum = frame.trailer.unpack_from(message, end)
    if (cutoff_tag, checksum_tag) != feast.TRAILER_TAGS:
        return None
    numbers = memoryview(message)[len(frame.header) : end]
    if feast.checksum(client_id, at, numbers) != checksum:
        raise ValueError
    return feast.time_of(at), np.frombuffer(numbers, "<f4").astype(np.float32)


class _Frame:
    """What is around the numbers of a message."""

    def __init__(self, width: int) -> None:
        self.width, self.header = width, feast.message_header(width)
        first, second = map(len, feast.TRAILER_TAGS)
        self.trailer = struct.Struct(f"<{first}sq{second}sI")
        self.length = len(self.header) + 4 * width + self.trailer.size


@lru_cache(maxsize=1000)
def _frame_of(length: int) -> _Frame | None:
    """Return the frame of messages of a length; None if there is none."""
    for width in range(length // 4, max(-1, length // 4 - 20), -1):
        if (frame := _Frame(width)).length == length:
            return frame
    return None
