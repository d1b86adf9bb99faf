"""GRU-AE day_event_type (paper, section 3.1): event types and days only."""

from ubp_platform.blocks.gru_ae import GRUAutoencoder


class GRUAEDayEventType(GRUAutoencoder):
    """Autoencoder of the rhythm of a client's events: day index and event type.

    Its parameters are those of :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    name = "gru_ae_day_event_type"
    principal_components = None
    fields = ("day", "event_type")
    presets = {  # noqa: RUF012
        "paper": {"hidden": 128, "layers": 2, "dropout": 0.5, "max_epochs": 30, "patience": 5},
        "small": {
            "hidden": 64,
            "layers": 1,
            "dropout": 0.1,
            "batch_size": 32,
            "learning_rate": 5e-3,
            "max_epochs": 10,
            "threads": 1,
        },
    }
