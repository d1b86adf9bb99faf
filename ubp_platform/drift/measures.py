"""Measures of the difference between two sets of vectors, A and B.

Those of the same client compare rows; the others compare populations. Only the overlap of
neighbours means something if the two are in different spaces.
"""

from collections.abc import Iterator

import numpy as np

#: Quantile bins of a population stability index.
BINS = 10
#: Nearest neighbours of a client.
NEIGHBOURS = 10
#: Principal components whose distribution is compared.
COMPONENTS = 5
_FOLDS = 3
# Noise in standard deviations: for a linear model, and along a component.
_NOISE, _BLUR = 0.01, 0.1
_ROWS = 512
# The 0.999 quantile of a chi-squared number: one degree of freedom less than bins.
_RARE = 27.877
# Distances that differ by less, relative to the mean one, are equal: rounding of float32.
_EQUAL = 1e-6


def centroid_shift(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return how far the mean moved, in standard deviations of A.

    The distance between the two means, divided by the root mean square distance of A's rows from
    A's mean. For one column, that is the usual standard deviation.

    Parameters
    ----------
    a, b : ndarray of float32, shape (n, width) and (m, width)
        At least one row each.

    Returns
    -------
    float or None
        None if A's rows are all equal, and the mean moved.
    """
    first, second = a.astype(np.float64), b.astype(np.float64)
    # The first row is taken off, so that equal rows have no spread that comes from rounding.
    first, second = first - a[0], second - a[0]
    moved = float(np.linalg.norm(second.mean(axis=0) - first.mean(axis=0)))
    spread = float(np.sqrt(first.var(axis=0).sum()))
    if moved == 0:
        return 0.0
    return moved / spread if spread > 0 else None


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the mean cosine between rows of the same clients; None without rows.

    Two zero vectors have 1, one has 0.

    Parameters
    ----------
    a, b : ndarray of float32, shape (n, width)
    """
    if not len(a):
        return None
    first, second = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    zero = (first == 0).all(axis=1) & (second == 0).all(axis=1)
    products = (first * second).sum(axis=1)
    cosines = np.divide(products, lengths, out=zero.astype(np.float64), where=lengths > 0)
    # Rounding must not make equal rows look different.
    cosines[(first == second).all(axis=1)] = 1
    return float(np.clip(cosines, -1, 1).mean())


def psi(a: np.ndarray, b: np.ndarray) -> float:
    """Return the population stability index of one quantity.

    The sum of ``(share of B - share of A) * ln(share of B / share of A)`` over the ten quantile
    bins of A. A value that fills more than one of them, such as 0 of a count, has a bin of its own.
    Half a client is added to every bin, so that an empty one has a logarithm.

    Parameters
    ----------
    a, b : ndarray, shape (n,) and (m,)
        At least one value each.
    """
    cuts = np.quantile(a, np.arange(1, BINS) / BINS, method="inverted_cdf").astype(np.float64)
    values, times = np.unique(cuts, return_counts=True)
    # A bin ends at a cut, inclusive; a frequent value's begins just below the value.
    cuts = np.union1d(values, np.nextafter(values[times > 1], -np.inf))
    shares = []
    for one in (a, b):
        places = np.searchsorted(cuts, one.astype(np.float64), side="left")
        counts = np.bincount(places, minlength=len(cuts) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def chance_psi(n: int, m: int) -> float:
    """Return the PSI that two samples of one population exceed once in a thousand times.

    About a chi-squared number of nine degrees of freedom, times ``1/n + 1/m``.
    """
    return _RARE * (1 / n + 1 / m)


def component_psi(
    a: np.ndarray, b: np.ndarray, a_clients: np.ndarray, b_clients: np.ndarray, seed: int = 0
) -> list[float]:
    """Return the PSI along the leading principal components of A, the largest component first.

    Noise of a tenth of a standard deviation is added, the same to a client's two rows: where many
    of A's rows are equal, and B's nearly so, as in an aligned version, no bin must tell them apart.

    Parameters
    ----------
    a, b : ndarray of float32, shape (n, width) and (m, width)
    a_clients, b_clients : ndarray of int64, shape (n,) and (m,)
        Ascending.
    seed : int
    """
    centre = a.mean(axis=0, dtype=np.float64)
    first, second = a - centre, b - centre
    values, axes = np.linalg.eigh(first.T @ first / len(a))
    axes, deviations = axes[:, ::-1][:, :COMPONENTS], np.sqrt(np.maximum(values[::-1], 0))
    a_noise, b_noise = _noise(a_clients, b_clients, axes.shape[1], seed)
    found = []
    for place, axis in enumerate(axes.T):
        deviation = deviations[place]
        if deviation > 1e-6 * max(deviations[0], 1e-12):
            one = first @ axis / deviation + _BLUR * a_noise[:, place]
            other = second @ axis / deviation + _BLUR * b_noise[:, place]
            found.append(psi(one, other))
    return found


def _noise(
    a_clients: np.ndarray, b_clients: np.ndarray, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw normal numbers for A's rows and for B's, the same for the same client."""
    clients = np.union1d(a_clients, b_clients)
    drawn = np.random.default_rng(seed).standard_normal((len(clients), width), np.float32)
    return drawn[np.searchsorted(clients, a_clients)], drawn[np.searchsorted(clients, b_clients)]


def column_psi(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Return the PSI of each column."""
    return [psi(one, other) for one, other in zip(a.T, b.T, strict=True)]


def auroc(
    a: np.ndarray, b: np.ndarray, a_clients: np.ndarray, b_clients: np.ndarray, seed: int = 0
) -> float | None:
    """Return how well a linear model tells A's rows from B's: 0.5 if it cannot.

    Cross-validated by client: a client's two rows are in one fold. Noise of a hundredth of A's
    spread is added, the same to a client's two rows, or the model would find differences that
    matter to nobody: a constant column of A that differs in its last digit.

    Parameters
    ----------
    a, b : ndarray of float32, shape (n, width) and (m, width)
    a_clients, b_clients : ndarray of int64, shape (n,) and (m,)
        Ascending.
    seed : int

    Returns
    -------
    float or None
        The mean over the folds; None if there are too few clients.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import roc_auc_score

    rng, clients = np.random.default_rng(seed), np.union1d(a_clients, b_clients)
    places = np.searchsorted(clients, np.concatenate([a_clients, b_clients]))
    folds = (rng.permutation(len(clients)) % _FOLDS)[places]
    noise = np.concatenate(_noise(a_clients, b_clients, a.shape[1], seed))
    noise *= _NOISE * np.sqrt(a.var(axis=0, dtype=np.float64).mean())
    rows, is_b = np.concatenate([a, b]) + noise, np.repeat([False, True], [len(a), len(b)])
    scores = []
    for fold in range(_FOLDS):
        train, test = folds != fold, folds == fold
        if min(len(np.unique(is_b[train])), len(np.unique(is_b[test]))) < 2:
            return None
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        model.fit(rows[train], is_b[train])
        scores.append(roc_auc_score(is_b[test], model.decision_function(rows[test])))
    return float(np.mean(scores))


def neighbour_overlap(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the share of a client's nearest neighbours in A who are so in B, too; None if few.

    Neighbours are the ten nearest by Euclidean distance, and who is as near as the tenth. The
    share is of the larger of the two sets, averaged over clients. Rotating or moving A or B
    changes nothing.

    Parameters
    ----------
    a, b : ndarray of float32, shape (n, width) and (n, other_width)
        Rows of the same clients.
    """
    if len(a) <= NEIGHBOURS:
        return None
    total = 0.0
    for near_a, near_b in zip(_near(a), _near(b), strict=True):
        both = (near_a & near_b).sum(axis=1)
        total += float((both / np.maximum(near_a.sum(axis=1), near_b.sum(axis=1))).sum())
    return total / len(a)


def _near(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield which rows are near which: bool, (some, n), for some rows at a time."""
    rows = vectors.astype(np.float64)
    rows -= rows.mean(axis=0)
    squares = (rows**2).sum(axis=1)
    slack = _EQUAL * 2 * float(squares.mean())
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        distances = squares[start : start + _ROWS, None] + squares - 2 * some @ rows.T
        own = np.arange(len(some))
        distances[own, start + own] = np.inf
        tenth = np.partition(distances, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
        near = distances <= tenth[:, None] + slack
        yield near
