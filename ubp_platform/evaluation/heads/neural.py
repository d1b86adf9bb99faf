"""The head ``network``: the challenge's network; the number of epochs is set on the inner split."""

from typing import Any

import numpy as np

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.heads.base import Advance, Labelled, Prediction, inner_score
from ubp_platform.evaluation.network import BATCH, LEARNING_RATE, NETWORKS, learn, predict
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
        rows: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Select the number of epochs on the inner split, then refit on all labelled clients."""
        size = NETWORKS[self.network]
        fitted, held = labelled.split(seed)

        def half(clients: Labelled, epochs: int) -> Advance:
            # Selecting the epochs is half of the fit, the refit is the other half.
            return lambda amount: advance(amount / (2 * len(clients.rows) * epochs))

        scores = [
            inner_score(predict(net, representation, held.rows).cpu().numpy(), held.labels)
            for net in learn(
                representation=representation,
                rows=fitted.rows,
                labels=fitted.labels,
                size=size,
                seed=seed,
                advance=half(fitted, size.epochs),
            )
        ]
        # Ties go to the earlier epoch.
        epochs = int(np.argmax(scores)) + 1
        *_, net = learn(
            representation=representation,
            rows=labelled.rows,
            labels=labelled.labels,
            size=size._replace(epochs=epochs),
            seed=seed,
            advance=half(labelled, epochs),
        )
        return Prediction(
            probabilities=predict(net, representation, rows).cpu().numpy(),
            inner=max(scores),
            choice=f"{epochs} epoch{'s' * (epochs > 1)}",
        )
