"""Pre-trained language models of the ``transformers`` library as text embedders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ubp_platform.blocks.model_files import fetch, hash_files, quiet, unavailable
from ubp_platform.blocks.torch_runtime import device, padded
from ubp_platform.errors import UBPError, first_line
from ubp_platform.progress import ProgressFactory, logged

Pooling = Literal["last", "mean"]

# A tokenizer's output is many times as large as its texts.
TEXTS_PER_BATCH = 256


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model with its tokenizer.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    network : transformers.PreTrainedModel
        Without a language-modelling head, on its device, in evaluation mode.
    fingerprint : bytes
        SHA-256 of the files it was read from.
    """

    tokenizer: Any
    network: Any
    fingerprint: bytes

    @property
    def width(self) -> int:
        """The size of a vector."""
        width: int = self.network.config.get_text_config().hidden_size
        return width

    @cached_property
    def context(self) -> int:
        """The maximum number of tokens the model can read."""
        positions = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        # Tokenizers without a limit report 1e30.
        return int(min(self.tokenizer.model_max_length, positions or 1e6, 1e6))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and hidden states."""
        dtype: torch.dtype = self.network.dtype
        return dtype

    @property
    def tokens_per_batch(self) -> int:
        """A number that keeps the device busy; more would only take memory."""
        return 32768 if self.network.device.type == "cuda" else 4096

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[np.ndarray]:
        """Turn each text into tokens, int32 of shape (n_tokens,); long texts lose their beginning.

        ``max_tokens`` includes special tokens.
        """
        tokens = []
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            encoded = self.tokenizer(
                list(texts[start : start + TEXTS_PER_BATCH]),
                truncation=True,
                max_length=max_tokens,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            tokens += [np.array(ids, np.int32) for ids in encoded["input_ids"]]
        return tokens

    @torch.inference_mode()
    def embed(self, tokens: np.ndarray, pooling: Pooling) -> np.ndarray:
        """Embed texts of equal length: (n_texts, n_tokens) to float32 of shape (n_texts, width).

        The pooling is the final hidden state of the last token, or the mean over all tokens.
        """
        ids = torch.from_numpy(tokens).to(self.network.device).long()
        if ids.device.type == "cuda":  # so many texts of a length as fill a batch, always
            ids = padded(ids, self.tokens_per_batch // ids.shape[1])
        hidden = self.network(input_ids=ids).last_hidden_state  # (n_texts, n_tokens, width)
        pooled = hidden[:, -1] if pooling == "last" else hidden.mean(dim=1, dtype=torch.float32)
        vectors: np.ndarray = pooled[: len(tokens)].float().cpu().numpy()
        return vectors


def batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Group texts of equal length, so that there is no padding and no attention mask.

    Parameters
    ----------
    lengths : ndarray of int, shape (n_texts,)
    tokens : int
        Maximum number per batch; a longer text is a batch of its own.

    Yields
    ------
    ndarray of int64, shape (n,)
        Indices of texts, long texts first, so that one too long for the memory fails at once.
    """
    order = np.argsort(-lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if len(rows):
            size = max(1, tokens // int(lengths[rows[0]]))
            yield from (rows[start : start + size] for start in range(0, len(rows), size))


def load(model: str, progress: ProgressFactory = logged) -> LanguageModel:
    """Read a model; the last one read stays in memory.

    It computes in bfloat16 where there is a GPU and its weights have 16 bits, else in float32.

    Parameters
    ----------
    model : str
        As in :func:`~ubp_platform.blocks.model_files.check`.
    progress : ProgressFactory
        Of the download, where one is needed.

    Raises
    ------
    UBPError
        If the model is not available, or ``transformers`` cannot read it without running code or
        unpickling files that come with it.
    """
    path = fetch(model, progress)
    try:
        with quiet():
            return _read(path, hash_files(path))
    except Exception as error:  # libraries raise errors of any type for files they cannot read
        raise unavailable(model, f"it cannot be read: {first_line(error)}") from error


@lru_cache(maxsize=1)
def _read(path: Path, fingerprint: bytes) -> LanguageModel:
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
        raise UBPError("it is an encoder-decoder model; an encoder or a decoder alone is needed")
    # The pooler is not used; any other missing weights would be random.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise UBPError(f"it has no weights for {missing[0]}")
    half = network.dtype in (torch.bfloat16, torch.float16)
    dtype = torch.bfloat16 if half and device().type == "cuda" else torch.float32
    network.config.use_cache = False
    return LanguageModel(tokenizer, network.to(device(), dtype).eval(), fingerprint)
