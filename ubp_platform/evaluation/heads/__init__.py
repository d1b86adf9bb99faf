"""Heads: what is fitted on a representation to answer a task, and how its choices are made."""

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.heads.base import HEADS, Head, HeadName, Labelled, Prediction
from ubp_platform.evaluation.heads.boosting import Boosting
from ubp_platform.evaluation.heads.logistic import Logistic
from ubp_platform.evaluation.heads.neural import Neural

__all__ = ["HEADS", "Head", "HeadName", "Labelled", "Prediction", "make"]


def make(name: HeadName, network: NetworkName) -> Head:
    """Make a head.

    Parameters
    ----------
    name : {"network", "logistic", "boosting"}
    network : {"paper", "small"}
        The size of the head ``network``.
    """
    if name == "network":
        return Neural(network)
    return Logistic() if name == "logistic" else Boosting()
