"""GRU-AE all (paper, section 3.1): all categorical fields of events, in order, without time."""

from typing import ClassVar

from ubp_platform.blocks.gru_ae import GRUAutoencoder


class GRUAEAll(GRUAutoencoder):
    """Autoencoder of events with all their categorical fields, without time.

    Fields without values in this shop are left out.

    Its parameters are those of :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    name = "gru_ae_all"
    principal_components = 64
    fields: ClassVar[tuple[str, ...]] = ("event_type", "category", "price", "sku", "url")
    presets = {  # noqa: RUF012
        "paper": {"hidden": 512, "layers": 3, "dropout": 0.1},
        "small": {
            "hidden": 128,
            "layers": 1,
            "last": 64,
            "values": {"category": 500, "sku": 500, "url": 500},
            "batch_size": 16,
            "learning_rate": 3e-3,
            "max_epochs": 10,
            "threads": 1,
        },
    }
