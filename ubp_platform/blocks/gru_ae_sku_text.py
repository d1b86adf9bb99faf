"""GRU-AE sku_text (paper, section 3.1): the names of a client's last products."""

import numpy as np

from ubp_platform.blocks.gru_ae import GRUAutoencoder
from ubp_platform.events.schema import CODE_VALUES, CODES, PRODUCT_EVENTS
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.sequences import Sequences, Vocabulary


class GRUAESkuText(GRUAutoencoder):
    """Autoencoder of the quantized names of the last distinct products, oldest first.

    A name has 16 codes of 256 values. The same code means different things at different positions
    of a name, so a token stands for a position and a code. Products without properties are ignored.
    ``last`` counts products.

    Its parameters are those of :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    name = "gru_ae_sku_text"
    principal_components = 64
    needs = PRODUCT_EVENTS
    fields = ("code",)
    presets = {  # noqa: RUF012
        "paper": {"hidden": 512, "layers": 3, "dropout": 0.1, "last": 4},
        "small": {
            "hidden": 64,
            "layers": 1,
            "last": 4,
            "batch_size": 32,
            "learning_rate": 4e-3,
            "max_epochs": 5,
            "threads": 1,
        },
    }

    def vocabularies(self, history: History) -> dict[str, Vocabulary]:
        """Return all positions and codes: the challenge's quantizer is fixed."""
        return {"code": Vocabulary("code", np.arange(CODES * CODE_VALUES))}

    def training_sequences(self, history: History) -> Sequences:
        """Return the same sequences; BlockUnavailable if no product has a name."""
        sequences = self.sequences(history)
        if not len(sequences.client_ids):
            raise self.unavailable(history, "of a product with a name")
        return sequences

    def sequences(self, history: History) -> Sequences:
        """Return the codes of each client's last distinct products, 16 tokens per product."""
        products = history.table("recent_products", last=self.last)
        codes = products["name"].combine_chunks().flatten().to_numpy().reshape(-1, CODES)
        tokens = Vocabulary.FIRST + np.arange(CODES, dtype=np.int32) * CODE_VALUES + codes
        client_ids, starts = np.unique(products["client_id"].to_numpy(), return_index=True)
        return Sequences(
            client_ids=client_ids,
            offsets=np.append(starts, products.num_rows).astype(np.int64) * CODES,
            fields={"code": tokens.ravel()},
        )
