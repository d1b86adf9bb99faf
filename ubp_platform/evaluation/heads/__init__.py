"""Heads: the models fitted on a representation to solve a task."""

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.heads.base import HEADS, Head, HeadName, Labelled, Prediction
from ubp_platform.evaluation.heads.boosting import Boosting
from ubp_platform.evaluation.heads.logistic import Logistic
from ubp_platform.evaluation.heads.neural import Neural

__all__ = ["HEADS", "Head", "HeadName", "Labelled", "Prediction", "make_head"]


def make_head(name: HeadName, network: NetworkName) -> Head:
    """Create a head; ``network`` is the size of the head ``network``."""
    if name == "network":
        return Neural(network)
    return Logistic() if name == "logistic" else Boosting()
