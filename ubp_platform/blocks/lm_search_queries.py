"""LM search queries (paper, section 3.2.4): search queries as the rows of a table."""

from ubp_platform.blocks.lm import LanguageModelBlock
from ubp_platform.blocks.model_files import PACKAGED


class LMSearchQueries(LanguageModelBlock):
    """A language model's embedding of a client's last search queries.

    Each query is a row with its time and the codes of its text.

    Its parameters are those of :class:`~ubp_platform.blocks.lm.LanguageModelBlock`.
    """

    name = "lm_search_queries"
    needs = ("search_query",)
    principal_components = 64
    texts = "queries"
    presets = {  # noqa: RUF012
        "paper": {"last": 90},
        "small": {"model": PACKAGED, "pooling": "mean", "last": 6, "codes": 4, "max_tokens": 72},
    }
