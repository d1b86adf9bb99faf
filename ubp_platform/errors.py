"""The errors that a user is meant to read."""

import errno

# The write-ahead log's index cannot be enlarged, the log itself not written.
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE")


class UBPError(Exception):
    """Something the user can put right; its text is one line that says what and how.

    The command line prints it without a traceback and exits with code 2.
    """


class BatchRejected(UBPError):
    """A delivery that broke a table rule or had too many bad rows; the warehouse is unchanged."""


class WarehouseBusy(UBPError):
    """Another process has the warehouse open for writing."""


class WarehouseMissing(UBPError):
    """Nothing was ingested yet."""


class BlockUnavailable(UBPError):
    """A block cannot be built from this history; the profile is built without it."""


class TaskUnavailable(UBPError):
    """A downstream task that this log or these clients cannot pose; the others are evaluated."""


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that a disk had no room left.

    Libraries say it each in its way: by a number, or in words.
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
    """Give what a library's error says first; the rest is for its developers."""
    return str(error).strip().split("\n")[0]
