"""The head ``network``: the challenge's network, for the number of epochs that is best held out."""

from typing import Any

import numpy as np

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.heads.base import Advance, Labelled, Prediction, inner_score
from ubp_platform.evaluation.network import (
    BATCH,
    LEARNING_RATE,
    NETWORKS,
    learn,
    predict,
)
from ubp_platform.evaluation.representations import Representation


class Neural:
    """The network of :mod:`ubp_platform.evaluation.network`.

    Parameters
    ----------
    network : {"paper", "small"}
    """

    def __init__(self, network: NetworkName) -> None:
        self.network = network
        self.parameters: list[Any] = ["network", *NETWORKS[network], BATCH, LEARNING_RATE]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        asked: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Choose the epoch by the inner split; then learn for as many from all labelled clients."""
        size = NETWORKS[self.network]
        fitted, held = labelled.split(seed)

        def halves(rows: int, epochs: int) -> Advance:
            # The choice is one half of the fit, what follows from it the other.
            return lambda amount: advance(amount / (2 * rows * epochs))

        scores = [
            inner_score(predict(net, representation, held.rows).cpu().numpy(), held.labels)
            for net in learn(
                *(representation, fitted.rows, fitted.labels, size, seed),
                halves(len(fitted.rows), size.epochs),
            )
        ]
        # Of equals the first.
        epochs = int(np.argmax(scores)) + 1
        *_, net = learn(
            *(representation, labelled.rows, labelled.labels, size._replace(epochs=epochs), seed),
            halves(len(labelled.rows), epochs),
        )
        return Prediction(
            probabilities=predict(net, representation, asked).cpu().numpy(),
            inner=max(scores),
            choice=f"{epochs} epoch{'s' * (epochs > 1)}",
        )
