"""Inference with GRU layers over ragged sequences: on CPUs, without padding."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ubp_platform.blocks.torch_runtime import LEAST_ROWS, padded


class _GRUStep:
    """One layer's weights, rearranged for a single step.

    A step computes r, z = σ(…), n = tanh(W x + b + r ∘ (U h + c)) and h ← n + z ∘ (h - n), as
    :class:`torch.nn.GRU` does. Everything that n is computed from is doubled, because
    tanh(x) = 2σ(2x) - 1, and PyTorch's tanh takes five times as long as its σ.
    """

    def __init__(self, gru: nn.GRU) -> None:
        hidden, weights = gru.hidden_size, dict(gru.named_parameters())
        double = torch.cat([torch.ones(2 * hidden), torch.full((hidden,), 2.0)])
        input_bias, state_bias = (weights[f"bias_{name}_l0"] * double for name in ("ih", "hh"))
        from_input, from_state = (weights[f"weight_{name}_l0"].T * double for name in ("ih", "hh"))
        self.input = from_input.contiguous()  # (hidden, 3 * hidden)
        self.gates, self.new = (
            part.contiguous() for part in from_state.split([2 * hidden, hidden], 1)
        )
        self.new_bias = state_bias[2 * hidden :]
        self.bias = torch.cat([(input_bias + state_bias)[: 2 * hidden], input_bias[2 * hidden :]])

    def __call__(self, events: Tensor, state: Tensor) -> Tensor:
        """Update the clients' states (clients, hidden), in place, with one event each."""
        if len(state) < LEAST_ROWS:
            enough = self(padded(events), padded(state))
            return state.copy_(enough[: len(state)])
        hidden = state.shape[1]
        parts = torch.addmm(self.bias, events, self.input)  # (clients, 3 * hidden)
        gates, new = parts[:, : 2 * hidden], parts[:, 2 * hidden :]
        gates.addmm_(state, self.gates).sigmoid_()  # r and z
        from_state = torch.addmm(self.new_bias, state, self.new)
        new.addcmul_(gates[:, :hidden], from_state).sigmoid_().mul_(2).sub_(1)
        return torch.lerp(new, state, gates[:, hidden:], out=state)


@torch.inference_mode()
def last_states(
    layers: Iterable[nn.GRU], embed: Callable[[Tensor], Tensor], tokens: Tensor, last: Tensor
) -> Tensor:
    """Return the top layer's hidden state after each client's newest event.

    Goes through all layers step by step, so that the output of a step is still in the CPU's cache
    when the next layer reads it; clients whose sequence has ended are skipped. About twice as fast
    as running one layer after the other.

    Parameters
    ----------
    layers : iterable of torch.nn.GRU
        With one layer each, on the CPU.
    embed : callable
        Turns tokens (fields, clients) into embeddings (clients, hidden).
    tokens : Tensor of int64, shape (fields, steps, clients)
    last : Tensor of int64, shape (clients,)
        The step of each client's newest event; ascending.

    Returns
    -------
    Tensor of float32, shape (clients, hidden)
    """
    steps = [_GRUStep(gru) for gru in layers]
    hidden = steps[0].new.shape[1]
    states = [torch.zeros(len(last), hidden) for _ in steps]
    first_active = torch.searchsorted(last, torch.arange(tokens.shape[1])).tolist()
    for index, first in enumerate(first_active):
        events = embed(tokens[:, index, first:])
        for step, state in zip(steps, states, strict=True):
            events = step(events, state[first:])
    return states[-1]
