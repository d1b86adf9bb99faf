"""The errors that a user is meant to read."""


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


def first_line(error: object) -> str:
    """Give what a library's error says first; the rest is for its developers."""
    return str(error).strip().split("\n")[0]
