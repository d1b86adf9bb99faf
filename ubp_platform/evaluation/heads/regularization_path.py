"""Logistic regressions of all classes at once, for a sequence of L2 penalties."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.evaluation.heads.base import Labelled, base_rates
from ubp_platform.evaluation.heads.principal_axes import PrincipalAxes
from ubp_platform.evaluation.representations import Representation

#: Maximum L-BFGS iterations, and the tolerances of the gradient and of the change.
ITERATIONS, GRADIENT, CHANGE = 60, 1e-4, 1e-5


class LinearModel(NamedTuple):
    """Weights (n_axes, n_classes), or (n_axes, 1) shared by all classes; biases (n_classes,)."""

    weights: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """Return the log-odds of each class: (n, n_classes)."""
        return x @ self.weights + self.bias


@dataclass(frozen=True)
class Problem:
    """Labelled clients to fit logistic regressions on.

    Parameters
    ----------
    axes : PrincipalAxes
        Principal axes of the clients' vectors.
    x : Tensor of float32, shape (n, n_axes)
    y : Tensor of float32, shape (n, n_classes)
    rates : Tensor of float32, shape (n_classes,)
        Base rates.
    """

    axes: PrincipalAxes
    x: Tensor
    y: Tensor
    rates: Tensor

    @classmethod
    def of(cls, representation: Representation, labelled: Labelled) -> "Problem":
        """Project the vectors of labelled clients on their principal axes."""
        axes = PrincipalAxes.of(representation, labelled.rows)
        x = axes.project(representation, labelled.rows)
        y = torch.from_numpy(labelled.labels).to(x.device, torch.float32)
        rates = torch.from_numpy(base_rates(labelled.labels)).to(x.device, torch.float32)
        return cls(axes, x, y, rates)

    def path(
        self, penalties: tuple[float, ...], shared: LinearModel | None = None
    ) -> Iterator[LinearModel]:
        """Fit one penalty after another, each starting from the previous solution.

        Parameters
        ----------
        penalties : tuple of float
        shared : LinearModel, optional
            Fit weights per class in addition to these; by default, fit weights shared by all
            classes.
        """
        # Curvature of the loss at the base rates; along each axis it is proportional to variance.
        curved = self.rates * (1 - self.rates)
        axes, classes = self.x.shape[1], len(curved)
        if shared is None:
            # A single column that is used by every class.
            model = LinearModel(self.x.new_zeros(axes, 1), self.rates.logit())
            weights, offset, curvature = model.weights, self.x.new_zeros(1), curved.sum()
        else:
            model, curvature = shared, curved
            weights, offset = self.x.new_zeros(axes, classes), self.x @ shared.weights
        fixed, bias = model
        for penalty in penalties:
            if math.isfinite(penalty):
                stretch = (self.axes.variances[:, None] * curvature + penalty).sqrt()
                weights, bias = self._minimize(
                    offset=offset,
                    penalty=penalty,
                    start=(weights, bias),
                    stretch=(stretch, curved.sqrt()),
                )
                model = LinearModel(fixed + weights, bias)
            yield model

    def _minimize(
        self,
        offset: Tensor,
        penalty: float,
        start: tuple[Tensor, Tensor],
        stretch: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Minimize the loss by L-BFGS, in coordinates that make its curvature roughly uniform."""
        scaled, scaled_bias = (
            (value * by).requires_grad_() for value, by in zip(start, stretch, strict=True)
        )
        optimizer = torch.optim.LBFGS(
            [scaled, scaled_bias],
            max_iter=ITERATIONS,
            tolerance_grad=GRADIENT,
            tolerance_change=CHANGE,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            weights = scaled / stretch[0]
            logits = self.x @ weights + offset + scaled_bias / stretch[1]
            loss = binary_cross_entropy_with_logits(logits, self.y, reduction="sum") / len(self.x)
            loss = loss + penalty / 2 * (weights * weights).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return (scaled / stretch[0]).detach(), (scaled_bias / stretch[1]).detach()
