"""Reading ragged sequences with GRU layers when nothing is learned: on CPUs, without padding."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class _Layer:
    """One layer's weights, as the step below multiplies with them.

    A step computes r, z = σ(…), n = tanh(W x + b + r ∘ (U h + c)) and h ← n + z ∘ (h - n), as
    :class:`torch.nn.GRU` says. Everything that makes n is doubled here, for tanh(x) = 2σ(2x) - 1:
    PyTorch's tanh takes five times as long as its σ.
    """

    def __init__(self, gru: nn.GRU) -> None:
        hidden, weights = gru.hidden_size, dict(gru.named_parameters())
        double = torch.cat([torch.ones(2 * hidden), torch.full((hidden,), 2.0)])
        bias, state_bias = (weights[f"bias_{what}_l0"] * double for what in ("ih", "hh"))
        read, state = ((weights[f"weight_{what}_l0"].T * double) for what in ("ih", "hh"))
        self.input = read.contiguous()
        self.gates, self.new = (part.contiguous() for part in state.split([2 * hidden, hidden], 1))
        self.new_bias = state_bias[2 * hidden :]
        self.bias = torch.cat([(bias + state_bias)[: 2 * hidden], bias[2 * hidden :]])

    def step(self, events: Tensor, state: Tensor) -> Tensor:
        """Move the clients' states (clients, hidden), in place, one event further."""
        hidden = state.shape[1]
        parts = torch.addmm(self.bias, events, self.input)
        gates, new = parts[:, : 2 * hidden], parts[:, 2 * hidden :]
        gates.addmm_(state, self.gates).sigmoid_()
        kept = torch.addmm(self.new_bias, state, self.new)
        new.addcmul_(gates[:, :hidden], kept).sigmoid_().mul_(2).sub_(1)
        return torch.lerp(new, state, gates[:, hidden:], out=state)


@torch.inference_mode()
def last_states(
    layers: Iterable[nn.GRU], embed: Callable[[Tensor], Tensor], tokens: Tensor, last: Tensor
) -> Tensor:
    """Read clients' sequences; gives the top layer's state after each client's newest event.

    Step by step through all layers, so that what a step leaves is still in the processor's cache
    when the next layer wants it; a client whose sequence is over is left where it is. About
    twice as fast as calling the layers one after the other.

    Parameters
    ----------
    layers : iterable of torch.nn.GRU
        One layer each, on the CPU.
    embed : callable
        Turns tokens (fields, clients) into vectors (clients, hidden).
    tokens : Tensor of int64, shape (fields, steps, clients)
    last : Tensor of int64, shape (clients,)
        The step of each client's newest event; in ascending order.

    Returns
    -------
    Tensor of float32, shape (clients, hidden)
    """
    read = [_Layer(gru) for gru in layers]
    hidden = read[0].new.shape[1]
    states = [torch.zeros(len(last), hidden) for _ in read]
    first_left = torch.searchsorted(last, torch.arange(tokens.shape[1])).tolist()
    for step, left in enumerate(first_left):
        events = embed(tokens[:, step, left:])
        for layer, state in zip(read, states, strict=True):
            events = layer.step(events, state[left:])
    return states[-1]
