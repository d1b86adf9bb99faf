"""Arguments that several benchmarks take."""

import math
from argparse import ArgumentParser, ArgumentTypeError


def part(text: str) -> float:
    """Parse a part of the challenge's log, rounded to the six digits that name its directory."""
    try:
        value = float(f"{float(text):g}")
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"a part of the log, above 0 and at most 1, not {text!r}")
    return value


def count(text: str) -> int:
    """Parse a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a whole number above 0, not {text!r}")
    return int(text)


def smoke_parser(description: str) -> ArgumentParser:
    """Make a parser with the option ``--small``; the first line of the description is shown."""
    parser = ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes, as a smoke test")
    return parser
