"""Reading .npy files from untrusted sources."""

from pathlib import Path

import numpy as np

from ubp_platform.errors import UBPError


def load_array(path: Path) -> np.ndarray:
    """Read an ``.npy`` file without executing anything in it.

    Raises
    ------
    UBPError
        If the file is missing or not in numpy's format.
    """
    try:
        with path.open("rb") as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except OSError as error:
        raise UBPError(f"{path}: {error.strerror}") from None
    except Exception:  # numpy passes on any error of Python's parser for a broken header
        raise UBPError(
            f"{path} is not an array of numbers in numpy's format: numpy.save({path.name!r}, "
            "array) writes one"
        ) from None
    return array


def describe(array: np.ndarray) -> str:
    """Return the type and shape of an array, for error messages."""
    return f"{array.dtype} of shape {array.shape}"
