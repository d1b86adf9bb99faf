"""The GRU sequence autoencoder (paper, section 3.1): network, training loop and encoding.

An encoder reads a client's events; its last hidden state is the user vector. A decoder has to say
the events again from that vector, each next one while it is told the ones before. What the vector
must hold for that is what is worth knowing about the client.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ubp_platform.blocks.base import Block, Params
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History, Vocabulary

#: Positions whose logits are in memory at once.
POSITIONS_A_SLICE = 1024


class GRUParams(Params):
    """Parameters of a GRU autoencoder.

    Parameters
    ----------
    hidden : int
        Width of embeddings, of hidden states and of the user vector.
    layers : int
        GRU layers of the encoder, and of the decoder.
    dropout : float
        On the event embeddings and between the layers.
    last : int
        How many events of a client are read, the newest ones.
    values : mapping of str to int
        How many values of a field are known, the most frequent ones; all where it is not named.
    batch_size : int
        Clients in a batch.
    learning_rate : float
        Of Adam, at its height; it rises and falls once over ``max_epochs``.
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that judge and do not train.
    threads : int, optional
        CPU threads; all cores by default. The steps of a small network are so short that a second
        thread gains little when cores are free and costs a multiple when they are not.
    """

    hidden: int = Field(512, ge=1)
    layers: int = Field(3, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    last: int = Field(128, ge=1)
    values: Mapping[str, int] = {"sku": 5000, "url": 5000}
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    max_epochs: int = Field(10, ge=1)
    patience: int = Field(3, ge=1)
    held_out: float = Field(0.1, gt=0, lt=1)
    threads: int | None = Field(None, ge=1)


class Network(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    sizes : mapping of str to int
        Tokens of each field.
    hidden, layers, dropout
        As in :class:`GRUParams`.
    """

    def __init__(self, sizes: Mapping[str, int], hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({f: nn.Embedding(n, hidden) for f, n in sizes.items()})
        # One module a layer: a stacked nn.GRU gives the states of its lower layers at the last
        # step only, which is padding for all but the longest sequences.
        self.encoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.decoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.heads = nn.ModuleDict({f: nn.Linear(hidden, n) for f, n in sizes.items()})
        self.dropout = nn.Dropout(dropout)

    def embed(self, batch: Batch) -> Tensor:
        """Sum the embeddings of an event's fields: (steps, clients, hidden)."""
        fields = zip(self.embeddings.values(), batch.inputs, strict=True)
        return self.dropout(sum(embedding(tokens) for embedding, tokens in fields))

    def encode(self, events: Tensor, last: Tensor) -> list[Tensor]:
        """Read the events; gives each layer's state at the newest one: (clients, hidden)."""
        client = torch.arange(len(last), device=last.device)
        states = []
        for layer, gru in enumerate(self.encoder):
            events, _ = gru(events if layer == 0 else self.dropout(events))
            states.append(events[last, client])
        return states

    def decode(self, events: Tensor, states: list[Tensor]) -> Tensor:
        """Say the events again, being told the ones before: (steps, clients, hidden)."""
        events = events + states[-1]
        for layer, gru in enumerate(self.decoder):
            events, _ = gru(events if layer == 0 else self.dropout(events), states[layer][None])
        return events

    def forward(self, batch: Batch) -> Tensor:
        """Reconstruct a batch; gives what the heads read: (positions, hidden)."""
        events = self.embed(batch)
        said = self.decode(events, self.encode(events, batch.last))
        return said.flatten(0, 1)[batch.real]

    def cross_entropy(self, said: Tensor, targets: Tensor) -> Tensor:
        """Sum the cross-entropies over fields and positions.

        Parameters
        ----------
        said : Tensor of float, shape (positions, hidden)
        targets : Tensor of int64, shape (n_fields, positions)
        """
        fields = zip(self.heads.values(), targets, strict=True)
        losses = [F.cross_entropy(head(said), target, reduction="sum") for head, target in fields]
        return torch.stack(losses).sum()


class GRUAutoencoder(Block):
    """A sequence autoencoder over some fields of all events.

    A subclass names the fields. Encoding a client does not depend on who else is in the batch: GRU
    states are read at a client's newest event, never after padding. Matrix products of different
    size may still differ in their last bits; vectors agree to 1e-6 of their length.

    Parameters
    ----------
    **params
        Fields of :class:`GRUParams`.
    """

    section = "3.1"
    needs = EVENT_TYPES
    Parameters = GRUParams
    params: GRUParams
    #: Keys of :data:`ubp_platform.warehouse.history.FIELDS` that are read and reconstructed.
    fields: ClassVar[tuple[str, ...]]

    vocabularies_: dict[str, Vocabulary]
    network_: Network

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        known = {f: history.vocabulary(f, self.params.values.get(f)) for f in self.fields}
        # A field that no event has would be one constant to learn.
        self.vocabularies_ = {f: known[f] for f in self.fields if len(known[f].values)}
        sequences = history.sequences(self.vocabularies_, self.params.last)
        if not len(sequences.client_ids):
            raise BlockUnavailable("no relevant client has an event before the cutoff")
        self.report_.clients = len(sequences.client_ids)

        rng = np.random.default_rng(self.params.seed)
        clients = rng.permutation(len(sequences.client_ids))
        # Of very few clients none is held out, and the training loss decides.
        held_out = clients[: int(self.params.held_out * len(clients))]
        training = clients[len(held_out) :]
        validation = held_out if len(held_out) else training

        device = _device()
        batches = Batches(sequences, self.params.batch_size, device)
        cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
        with _threads(self.params.threads), torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.params.seed)
            self.network_ = self._network().to(device)
            self._train(batches, training, validation, rng, progress)

    def _train(
        self,
        batches: Batches,
        training: np.ndarray,
        validation: np.ndarray,
        rng: np.random.Generator,
        progress: ProgressFactory,
    ) -> None:
        params, curves = self.params, self.report_.curves
        curves["train"], curves["validation"] = [], []
        optimizer = torch.optim.Adam(self.network_.parameters(), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=params.learning_rate,
            total_steps=params.max_epochs * -(-len(training) // params.batch_size) + 1,
            pct_start=0.1,
        )
        best = 0
        try:
            for epoch in range(1, params.max_epochs + 1):
                title = f"{self.name}: epoch {epoch}/{params.max_epochs}"
                with progress(title, batches.positions(training), "tokens") as advance:
                    loss = 0.0
                    for batch in batches.shuffled(training, rng):
                        loss += training_step(self.network_, batch, optimizer)
                        schedule.step()
                        advance(batch.positions)
                    judged = (batch for _, batch in batches.sorted(validation))
                    validation_loss = evaluate(self.network_, judged)
                curves["train"].append(loss / batches.positions(training))
                curves["validation"].append(validation_loss / batches.positions(validation))
                if not math.isfinite(curves["validation"][-1]):
                    raise UBPError(
                        f"{self.name}: the loss is no longer a number in epoch {epoch}; "
                        "fit with a lower learning_rate"
                    )
                if not best or curves["validation"][-1] < curves["validation"][best - 1]:
                    weights = {k: v.clone() for k, v in self.network_.state_dict().items()}
                    best = epoch
                elif epoch - best >= params.patience:
                    break
        except KeyboardInterrupt:
            if not best:
                raise
            done = len(curves["validation"])
            self.report_.complete = False
            self.report_.note = (
                f"interrupted after epoch {done} of {params.max_epochs}; "
                f"the best epoch ({best}) is kept"
            )
        self.network_.load_state_dict(weights)
        self.report_.loss = curves["validation"][best - 1]

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:  # noqa: D102
        sequences = history.sequences(self.vocabularies_, self.params.last)
        clients = np.arange(len(sequences.client_ids))
        vectors = np.empty((len(clients), self.params.hidden), np.float32)
        device = next(self.network_.parameters()).device
        batches = Batches(sequences, self.params.batch_size, device)
        self.network_.eval()
        bar = progress(f"{self.name}: encode", len(clients), "clients")
        with _threads(self.params.threads), torch.inference_mode(), bar as advance:
            for rows, batch in batches.sorted(clients):
                states = self.network_.encode(self.network_.embed(batch), batch.last)
                vectors[rows] = states[-1].cpu().numpy()
                advance(len(rows))
        return Snapshot(history.cutoff, sequences.client_ids, vectors)

    def state(self) -> dict[str, np.ndarray]:  # noqa: D102
        weights = self.network_.state_dict()
        return {
            **{f"vocabulary.{f}": v.values for f, v in self.vocabularies_.items()},
            **{f"network.{name}": tensor.cpu().numpy() for name, tensor in weights.items()},
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: D102
        # In the order of `fields`: sums of floats depend on it.
        self.vocabularies_ = {
            f: Vocabulary(f, arrays[f"vocabulary.{f}"])
            for f in self.fields
            if f"vocabulary.{f}" in arrays
        }
        self.network_ = self._network()
        weights = {
            name.removeprefix("network."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("network.")
        }
        self.network_.load_state_dict(weights)
        self.network_.to(_device())

    def _network(self) -> Network:
        sizes = {f: v.size for f, v in self.vocabularies_.items()}
        return Network(sizes, self.params.hidden, self.params.layers, self.params.dropout)


def training_step(network: Network, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
    """Learn from one batch.

    The logits are most of the memory, and of the time that fresh memory costs; they are made and
    differentiated slice by slice.

    Returns
    -------
    float
        The summed loss of the batch.
    """
    network.train()
    optimizer.zero_grad()
    device = batch.inputs.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        said = network(batch)
    slices = said.split(POSITIONS_A_SLICE)
    leaves = [part.detach().requires_grad_() for part in slices]
    total = 0.0
    for leaf, targets in zip(leaves, batch.targets.split(POSITIONS_A_SLICE, dim=1), strict=True):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = network.cross_entropy(leaf, targets)
        (loss / batch.positions).backward()
        total += loss.item()
    torch.autograd.backward(slices, [leaf.grad for leaf in leaves])
    optimizer.step()
    return total


@torch.inference_mode()
def evaluate(network: Network, batches: Iterable[Batch]) -> float:
    """Sum the loss over batches, without dropout."""
    network.eval()
    total = 0.0
    for batch in batches:
        said = network(batch).split(POSITIONS_A_SLICE)
        for part, targets in zip(said, batch.targets.split(POSITIONS_A_SLICE, dim=1), strict=True):
            total += network.cross_entropy(part, targets).item()
    return total


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
