"""Errors for the user to read."""

import errno
from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")

# The write-ahead log's index cannot be enlarged, the log itself not written.
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE")


class UBPError(Exception):
    """Something the user can correct; the message is one line with the cause and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class BatchRejected(UBPError):
    """A delivery broke a table rule or had too many bad rows; the warehouse is unchanged."""


class DamagedFile(UBPError):
    """A file of the home is missing or not what was written; the message names it and the cure."""


class LimitExceeded(UBPError):
    """A file from outside has more columns, rows or bytes in a row than the settings allow."""


class WarehouseBusy(UBPError):
    """Another process has the warehouse open for writing."""


class WarehouseMissing(UBPError):
    """Nothing has been ingested yet."""


class StoreUnavailable(UBPError):
    """The online store does not answer, or its file cannot be read."""


class NotOnline(UBPError):
    """A profile version is not in the online store."""


class NoIndex(NotOnline):
    """A profile version has no index of similar clients."""


class BadRequest(UBPError):
    """What was asked for cannot be: the message says what can."""


class BlockUnavailable(UBPError):
    """A block cannot be fitted on this history; the profile is made without it."""


class TaskUnavailable(UBPError):
    """This log or these clients do not allow a downstream task; the others are evaluated."""


def or_note(damaged: list[DamagedFile], read: Callable[[], Read]) -> Read | None:
    """Return what a function reads, or note that a file is damaged."""
    try:
        return read()
    except DamagedFile as error:
        damaged.append(error)
        return None


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error or one of its causes is a full disk.

    Libraries report it by a number or in words.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorname", "") in _SQLITE_FULL:
            return True
        words = str(error).lower()
        if "no space left" in words or "disk is full" in words or "disk quota exceeded" in words:
            return True
        error = error.__cause__ or error.__context__
    return False


def first_line(error: object) -> str:
    """Return the first line of a library's error message."""
    return str(error).strip().split("\n")[0]
