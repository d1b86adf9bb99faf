"""The cross-entropy over a large vocabulary: estimated from a sample, or exact in slices."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Values whose logits are in memory at once in the exact cross-entropy.
VALUES_PER_SLICE = 16_384
#: Exponent of the sampling distribution over ranks: Zipf's law to the power of 3/4 (Mikolov et al.
#: 2013, *Distributed Representations of Words and Phrases*).
SKEW = 0.75


def inclusion(values: int, negatives: int) -> np.ndarray:
    """Return the probability that a sample of negatives includes each value: shape (values,).

    Values are ranked by frequency. The probability is proportional to the rank to the power of
    −3/4, but at most 1; the sum is the sample size.

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
    # If the first `rank` values are always included, the others share the rest of the sample.
    scale = (negatives - rank) / weight[::-1].cumsum()[::-1]
    certain = np.argmax(scale * weight <= 1)
    return np.where(rank < certain, 1.0, scale[certain] * weight)


class SampledSoftmax(nn.Module):
    """Cross-entropy of a softmax, estimated from a sample of values that all positions share.

    The partition function, the sum of ``exp(logit)`` over all values, is estimated by the target's
    term and the terms of sampled negatives, each divided by its inclusion probability, the log-q
    correction (Bengio and Senécal 2008, *Adaptive Importance Sampling to Accelerate Training of a
    Neural Probabilistic Language Model*; Jean et al. 2015, *On Using Very Large Target Vocabulary
    for Neural Machine Translation*). The estimate of the sum is unbiased: the target is always
    included and needs no correction, and is masked where it is drawn as a negative too.

    The sample is stratified: one draw from each of equally likely strata of the vocabulary, so that
    frequent values are always included and rare ones vary.

    Parameters
    ----------
    values : int
        Number of values, which are ranked by frequency.
    negatives : int
        Sample size; with as many as there are values the loss is exact.
    """

    expected: Tensor
    edges: Tensor

    def __init__(self, values: int, negatives: int) -> None:
        super().__init__()
        expected = inclusion(values, negatives)
        self.negatives = min(values, negatives)
        # Not persistent: they follow from the sizes.
        self.register_buffer("expected", torch.from_numpy(expected).float(), persistent=False)
        edges = torch.from_numpy(expected.cumsum())  # float64, for large vocabularies
        self.register_buffer("edges", edges, persistent=False)

    def draw(self) -> Tensor:
        """Draw negatives with torch's global generator: int64, shape (negatives,)."""
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
        target_rows, negative_rows = rows.split([len(targets), len(drawn)])
        target_logits = (hidden * target_rows).sum(1)  # (positions,)
        logits = hidden @ negative_rows.T - self.expected[drawn].log()  # (positions, negatives)
        lowest = torch.finfo(logits.dtype).min
        logits = logits.masked_fill(targets[:, None] == drawn, lowest)
        # -log(exp(target_logit) / (exp(target_logit) + sum(exp(logits))))
        return F.softplus(logits.logsumexp(1) - target_logits).sum()


def exact_cross_entropy(hidden: Tensor, targets: Tensor, table: Tensor) -> Tensor:
    """Sum the exact cross-entropies over positions, a slice of the vocabulary at a time.

    As in :meth:`SampledSoftmax.forward`, with a table of shape (values, hidden).
    """
    parts = [(hidden @ rows.T).logsumexp(1) for rows in table.split(VALUES_PER_SLICE)]
    target_logits = (hidden * table[targets]).sum(1)
    return (torch.stack(parts).logsumexp(0) - target_logits).sum()
