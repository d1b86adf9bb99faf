"""GRU-AE week_all (paper, section 3.1): all categorical fields of events, and the week."""

from ubp_platform.blocks.gru_ae_all import GRUAEAll


class GRUAEWeekAll(GRUAEAll):
    """Autoencoder of events with all their categorical fields and the week index.

    The best single model of the paper.

    Its parameters are those of :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    name = "gru_ae_week_all"
    fields = ("week", *GRUAEAll.fields)
