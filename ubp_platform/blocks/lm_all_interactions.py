"""LM all interactions (paper, section 3.2.4): all events as text, one per line."""

from ubp_platform.blocks.lm import LanguageModelBlock
from ubp_platform.blocks.model_files import PACKAGED
from ubp_platform.events.schema import EVENT_TYPES


class LMAllInteractions(LanguageModelBlock):
    """A language model's embedding of a client's last events of all types.

    Each event is a line with its type, its time and its object.

    Its parameters are those of :class:`~ubp_platform.blocks.lm.LanguageModelBlock`.
    """

    name = "lm_all_interactions"
    needs = EVENT_TYPES
    principal_components = 128
    texts = "interactions"
    presets = {  # noqa: RUF012
        "paper": {"last": 64},
        "small": {"model": PACKAGED, "pooling": "mean", "last": 6, "codes": 0, "max_tokens": 72},
    }
