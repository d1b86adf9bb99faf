"""Fold-in: vectors of clients from fixed item representations, without fitting the model again.

A client's vector maximizes the likelihood of the client's own items in a softmax over a fixed
sample of items, the negatives, with a Gaussian prior:

    minimize  sum_i w_i [ log sum_j exp(b_j + y_j u)  -  y_i u ]  +  strength / 2 |u - prior|²

over the client's items i with their weights w_i and the negatives j, with the representations y and
biases b of items. An item of negative weight is pushed below the mean item instead; as in WARP,
only the prior limits that. The objective is strictly convex, so a client has one solution, which
does not depend on other clients.
"""

import numpy as np
from scipy import sparse

#: Rounds of conjugate gradients; further ones move vectors by less than a hundredth.
STEPS = 20


def fold_in(
    weights: sparse.csr_matrix,
    prior: np.ndarray,
    items: np.ndarray,
    biases: np.ndarray,
    negatives: np.ndarray,
    strength: float,
) -> np.ndarray:
    """Solve for the vectors of some clients.

    By nonlinear conjugate gradients (Polak and Ribière) with a step length that never overshoots:
    the Newton step along the direction, damped as in Sun and Tran-Dinh, Generalized self-concordant
    functions, Mathematical Programming 178, 2019. Each client is solved independently.

    Parameters
    ----------
    weights : csr_matrix, shape (n_clients, n_items)
    prior : ndarray of float64, shape (n_clients, width)
    items : ndarray, shape (n_items, width)
    biases : ndarray, shape (n_items,)
    negatives : ndarray of int64, shape (n_negatives,)
        Indices of items.
    strength : float
        Weight of the prior, in units of event weight.

    Returns
    -------
    ndarray of float64, shape (n_clients, width)
    """
    items, biases = items.astype(np.float64), biases.astype(np.float64)
    y = items[negatives]
    weights = weights.astype(np.float64)
    positive = _row_sums(weights.maximum(0))
    pull = weights @ items - _row_sums(weights.minimum(0)) * items.mean(axis=0)

    u = prior.copy()
    scores = u @ y.T + biases[negatives]  # (n_clients, n_negatives)
    direction, last, last_squared = np.zeros_like(u), np.zeros_like(u), np.ones((len(u), 1))
    for _ in range(STEPS):
        softmax = np.exp(scores - scores.max(axis=1, keepdims=True))
        softmax /= softmax.sum(axis=1, keepdims=True)
        gradient = positive * (softmax @ y) - pull + strength * (u - prior)
        squared = _dot(gradient, gradient)
        beta = np.maximum(0, (squared - _dot(gradient, last)) / last_squared)
        direction = beta * direction - gradient
        # Where this is not a descent direction, restart from steepest descent.
        direction = np.where(_dot(gradient, direction) < 0, direction, -gradient)
        last, last_squared = gradient, np.maximum(squared, np.finfo(float).tiny)

        change = direction @ y.T
        change -= _dot(softmax, change)  # a softmax is invariant to shifts
        curvature = positive * _dot(softmax, change**2) + strength * _dot(direction, direction)
        newton = -_dot(gradient, direction) / np.maximum(curvature, np.finfo(float).tiny)
        reach = newton * (change.max(axis=1, keepdims=True) - change.min(axis=1, keepdims=True))
        step = newton * np.where(reach > 1e-9, np.log1p(reach) / np.maximum(reach, 1e-9), 1)
        u += step * direction
        scores += step * change
    return u


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", left, right)[:, None]


def _row_sums(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).reshape(-1, 1)
