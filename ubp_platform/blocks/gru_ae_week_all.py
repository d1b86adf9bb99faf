"""GRU-AE week_all (paper, section 3.1): what happened, with what, in which week."""

from ubp_platform.blocks.gru_ae import GRUAutoencoder


class GRUAEWeekAll(GRUAutoencoder):
    """Autoencoder of events with all their categorical fields and the week index.

    The best single model of the paper. A field that no event of the shop has (such as the URL
    where there are no page visits) is left out.

    Parameters
    ----------
    **params
        Fields of :class:`~ubp_platform.blocks.sequence_block.SequenceParams`.
    """

    name = "gru_ae_week_all"
    components = 64
    fields = ("week", "event_type", "category", "price", "sku", "url")
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
