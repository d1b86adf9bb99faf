"""Whole numbers of 64 bits that are written as text, as ids of a shop are on a command line."""

import re

# Of 19 digits at most: Python refuses to read thousands.
_FORM = re.compile("0|-?[1-9][0-9]{0,18}")


def integer_of(text: str) -> int | None:
    """Read a 64-bit integer: digits, no leading zero; None if the text is something else.

    Examples
    --------
    >>> integer_of("17"), integer_of("0017"), integer_of("9223372036854775808")
    (17, None, None)
    """
    if not _FORM.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
