"""The softmax over a large vocabulary: estimated from a sample, or exact in slices."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Values whose logits are in memory at once when the softmax is exact.
VALUES_A_SLICE = 16_384
#: How fast the chance to be drawn falls with the rank: Zipf's law to the power of 3/4 (Mikolov et
#: al. 2013, *Distributed Representations of Words and Phrases*).
SKEW = 0.75


def inclusion(values: int, negatives: int) -> np.ndarray:
    """Spread a sample over values so that frequent ones are in it more often.

    Parameters
    ----------
    values : int
        How many there are, the most frequent first.
    negatives : int
        The size of the sample.

    Returns
    -------
    ndarray of float64, shape (values,)
        How often each value is expected in the sample: in proportion to its rank to the power of
        −3/4, but at most once. Sums to the sample's size.

    Examples
    --------
    >>> inclusion(4, 2).round(3).tolist()
    [0.838, 0.498, 0.368, 0.296]
    >>> inclusion(3, 5).tolist()
    [1.0, 1.0, 1.0]
    """
    if negatives >= values:
        return np.ones(values)
    rank = np.arange(values)
    weight = (rank + 1.0) ** -SKEW
    # With the first `r` values surely in it, what is left is shared by the others.
    share = (negatives - rank) / weight[::-1].cumsum()[::-1]
    sure = np.argmax(share * weight <= 1)
    return np.where(rank < sure, 1.0, share[sure] * weight)


class SampledSoftmax(nn.Module):
    """Cross-entropy of a softmax over values, from a sample of them that a slice shares.

    The partition function, the sum of ``exp(logit)`` over all values, is taken to be the true
    value's term and those of the sampled others, each divided by how often it is expected in the
    sample, the log-q correction (Bengio and Senécal 2008, *Adaptive Importance Sampling to
    Accelerate Training of a Neural Probabilistic Language Model*; Jean et al. 2015, *On Using Very
    Large Target Vocabulary for Neural Machine Translation*). The estimate of the sum is unbiased:
    the true value is surely there and needs no correction, and where it is drawn as well does not
    count.

    The sample is stratified: one draw from each of as many equally likely parts of the vocabulary,
    so that frequent values are surely in it and rare ones vary.

    Parameters
    ----------
    values : int
        How many there are, the most frequent first.
    negatives : int
        How many are drawn; with as many as there are values the loss is exact.
    """

    expected: Tensor
    edges: Tensor

    def __init__(self, values: int, negatives: int) -> None:
        super().__init__()
        expected = inclusion(values, negatives)
        self.negatives = min(values, negatives)
        # They follow from the sizes and need not be saved.
        self.register_buffer("expected", torch.from_numpy(expected).float(), persistent=False)
        edges = torch.from_numpy(expected.cumsum())  # float64: far more values than draws
        self.register_buffer("edges", edges, persistent=False)

    def draw(self) -> Tensor:
        """Draw values with torch's global generator: int64, shape (negatives,)."""
        device = self.edges.device
        jitter = torch.rand(self.negatives, dtype=torch.float64, device=device)
        point = torch.arange(self.negatives, device=device) + jitter
        drawn = torch.searchsorted(self.edges, point, right=True)
        return drawn.clamp(max=len(self.edges) - 1)

    def forward(
        self, hidden: Tensor, targets: Tensor, embedding: nn.Embedding, first: int
    ) -> Tensor:
        """Sum the estimated cross-entropies over positions.

        Parameters
        ----------
        hidden : Tensor of float, shape (positions, hidden)
        targets : Tensor of int64, shape (positions,)
            Values, counted from 0.
        embedding : torch.nn.Embedding
            A logit is the product of a hidden state and a value's row.
        first : int
            The row of value 0.
        """
        drawn = self.draw()
        rows = embedding(torch.cat([targets, drawn]) + first)
        own, others = rows.split([len(targets), len(drawn)])
        true = (hidden * own).sum(1)
        logits = hidden @ others.T - self.expected[drawn].log()  # (positions, negatives)
        lowest = torch.finfo(logits.dtype).min
        logits = logits.masked_fill(targets[:, None] == drawn, lowest)
        # -log(exp(true) / (exp(true) + sum(exp(logits))))
        return F.softplus(logits.logsumexp(1) - true).sum()


def exact_cross_entropy(hidden: Tensor, targets: Tensor, table: Tensor) -> Tensor:
    """Sum the exact cross-entropies over positions, a slice of the vocabulary at a time.

    Parameters
    ----------
    hidden : Tensor of float, shape (positions, hidden)
    targets : Tensor of int64, shape (positions,)
    table : Tensor of float, shape (values, hidden)
        A logit is the product of a hidden state and a value's row.
    """
    parts = [(hidden @ rows.T).logsumexp(1) for rows in table.split(VALUES_A_SLICE)]
    true = (hidden * table[targets]).sum(1)
    return (torch.stack(parts).logsumexp(0) - true).sum()
