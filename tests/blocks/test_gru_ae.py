from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.blocks.bars import Bars
from tests.blocks.contract import BlockContract
from tests.shops import END, START, land
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.gru_ae import GRUAutoencoder, GRUAutoencoderNetwork
from ubp_platform.blocks.gru_ae_day_event_type import GRUAEDayEventType
from ubp_platform.blocks.gru_ae_week_all import GRUAEWeekAll
from ubp_platform.blocks.ragged import STEPS, Batches
from ubp_platform.blocks.sequence_learner import training_step, validation_loss
from ubp_platform.errors import BlockUnavailable
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.sequences import Sequences, Vocabulary

CUTOFF = END.tz_localize("UTC").to_pydatetime()
TINY = {"hidden": 16, "layers": 2, "dropout": 0.0, "max_epochs": 3}
CPU = torch.device("cpu")


def ragged(lengths: list[int], fields: tuple[str, ...] = ("category",), values: int = 6):
    rng = np.random.default_rng(0)
    first = Vocabulary.FIRST
    offsets = np.append(0, np.cumsum(lengths))
    tokens = {f: rng.integers(first, first + values, offsets[-1], dtype=np.int32) for f in fields}
    return Sequences(np.arange(len(lengths)), offsets, tokens)


def vectors(network: GRUAutoencoderNetwork, batches: Batches, clients: list[int]) -> np.ndarray:
    with torch.inference_mode():
        batch = batches.gather(np.array(clients))
        return network.encode(network.embed(batch), batch.last).numpy()


def test_a_batch_holds_start_events_and_end_and_pads_after_them() -> None:
    sequences = Sequences(np.array([1, 2]), np.array([0, 1, 4]), {"url": np.array([7, 8, 9, 10])})
    batch = Batches(sequences, 2, CPU).gather(np.array([0, 1]))
    start, end, pad = Vocabulary.START, Vocabulary.END, Vocabulary.PAD
    assert batch.inputs[0].T.tolist() == [[start, 7, pad, pad], [start, 8, 9, 10]]
    assert batch.last.tolist() == [1, 3]
    assert batch.real.tolist() == [0, 1, 2, 3, 5, 7]  # step by step, both clients per step
    assert batch.targets.tolist() == [[7, 8, end, 9, 10, end]]


def test_an_epoch_has_every_client_once_among_clients_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 129, 500)
    batches = Batches(ragged(list(lengths)), 20, CPU)
    epochs = []
    for seed in (1, 1, 2):
        found = list(batches.shuffled(np.arange(500), np.random.default_rng(seed)))
        epochs.append([batch.last.tolist() for batch in found])
        assert sorted(chain.from_iterable(epochs[-1])) == sorted(lengths)
        padded = sum(batch.inputs[0].numel() for batch in found)
        assert padded < 1.12 * batches.positions(np.arange(500))
    assert epochs[0] == epochs[1] != epochs[2]


def test_on_a_gpu_a_batchs_shape_follows_from_each_clients_own_length() -> None:
    lengths = np.random.default_rng(0).integers(0, 129, 300)
    batches = Batches(ragged(list(lengths)), 20, CPU)
    shapes = {}
    for rows, batch in batches.shaped(np.arange(300), 1024):
        _, steps, clients = batch.inputs.shape
        assert steps % STEPS == 0
        assert len(rows) <= clients == 1024 // steps
        own = batches.gather(rows)
        width = own.inputs.shape[1]
        assert torch.equal(batch.last[: len(rows)], own.last)
        assert torch.equal(batch.inputs[:, :width, : len(rows)], own.inputs)
        assert (batch.inputs[:, width:, : len(rows)] == Vocabulary.PAD).all()
        shapes |= dict.fromkeys(rows.tolist(), batch.inputs.shape)
    assert sorted(shapes) == [*range(300)]
    for company in ([17], [17, 5], [299, 17, 3, 40]):
        for rows, batch in batches.shaped(np.array(company), 1024):
            assert {shapes[row] for row in rows.tolist()} == {batch.inputs.shape}
    assert not [*batches.shaped(np.array([], np.int64), 1024)]


def test_the_user_vector_is_that_of_a_loop_over_one_unpadded_sequence() -> None:
    torch.manual_seed(0)
    sequences = ragged([5, 9, 2], ("category", "price"))
    sizes = {"category": 11, "price": 11}
    network = GRUAutoencoderNetwork(sizes, hidden=8, layers=2, dropout=0.3).eval()
    cells = [nn.GRUCell(8, 8) for _ in network.encoder]
    for cell, gru in zip(cells, network.encoder, strict=True):
        cell.load_state_dict({k.removesuffix("_l0"): v for k, v in gru.state_dict().items()})

    state = [torch.zeros(8), torch.zeros(8)]
    for step in range(6):
        x = torch.zeros(8)
        for field in sizes:
            token = Vocabulary.START if step == 0 else sequences.fields[field][step - 1]
            x = x + network.embeddings[field].weight[token]
        for layer, cell in enumerate(cells):
            x = state[layer] = cell(x, state[layer])
    together = vectors(network, Batches(sequences, 3, CPU), [0, 1, 2])
    np.testing.assert_allclose(together[0], state[-1].detach().numpy(), rtol=1e-5, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=40),
    layers=st.integers(1, 3),
    fields=st.integers(1, 3),
)
def test_inference_without_padding_gives_the_same_vectors(
    lengths: list[int], layers: int, fields: int
) -> None:
    torch.manual_seed(len(lengths))
    names = ("category", "price", "week")[:fields]
    network = GRUAutoencoderNetwork(
        dict.fromkeys(names, 11), hidden=12, layers=layers, dropout=0.3
    ).eval()
    with torch.no_grad():  # states near 1, where an error of tanh shows
        for weight in network.parameters():
            weight.mul_(3)
    batches = Batches(ragged(lengths, names), 3, CPU)
    for rows, batch in batches.sorted(np.arange(len(lengths)), 64):
        plain = vectors(network, batches, list(rows))
        np.testing.assert_allclose(network.infer(batch).numpy(), plain, rtol=1e-5, atol=2e-6)


def test_the_loss_of_one_step_worked_by_hand() -> None:
    # One event with the token 5 of 6; all logits are the head's bias: ln 3 at 5, else 0.
    network = GRUAutoencoderNetwork({"category": 6}, hidden=4, layers=1, dropout=0.0)
    head = network.heads["category"]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0, 0, 0, 0, 0, np.log(3)]))
    batch = Batches(ragged([1], values=1), 1, CPU).gather(np.array([0]))
    # The exponentials of the logits sum to 5 + 3 = 8: -ln(3/8) for the event, -ln(1/8) for the end.
    assert validation_loss(network, [batch]) == pytest.approx(-np.log(3 / 8) - np.log(1 / 8))


def test_padding_adds_nothing_to_loss_or_gradients() -> None:
    def gradients(clients: list[list[int]]) -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(0)
        network = GRUAutoencoderNetwork({"category": 11}, hidden=8, layers=2, dropout=0.0)
        batches = Batches(ragged([3, 30, 7]), 3, CPU)
        gathered = [batches.gather(np.array(part)) for part in clients]
        total = [torch.zeros_like(weight) for weight in network.parameters()]
        loss = 0.0
        for batch in gathered:
            # With steps of size 0 the weights stay; gradients are means over positions.
            loss += training_step(network, batch, torch.optim.SGD(network.parameters(), lr=0.0))
            for sum_, weight in zip(total, network.parameters(), strict=True):
                sum_ += weight.grad * batch.positions
        return loss, total

    loss, together = gradients([[0, 1, 2]])
    loss_alone, alone = gradients([[0], [1], [2]])
    assert loss == pytest.approx(loss_alone, rel=1e-6)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_vector_depends_on_neither_neighbours_nor_batch_size_nor_order() -> None:
    torch.manual_seed(0)
    lengths = np.random.default_rng(1).integers(1, 129, 200)
    network = GRUAutoencoderNetwork({"category": 11}, hidden=128, layers=2, dropout=0.1).eval()
    batches = Batches(ragged(list(lengths)), 200, CPU)
    together = vectors(network, batches, list(range(200)))
    for clients in ([17], [5, 17], list(range(199, -1, -1))):
        found = vectors(network, batches, clients)
        np.testing.assert_allclose(found, together[clients], rtol=0, atol=2e-6)


def test_a_small_data_set_is_overfitted() -> None:
    torch.manual_seed(0)
    batch = Batches(ragged([6] * 8, ("category", "price")), 8, CPU).gather(np.arange(8))
    network = GRUAutoencoderNetwork({"category": 11, "price": 11}, hidden=32, layers=1, dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(150):
        training_step(network, batch, optimizer)
    network.eval()
    with torch.no_grad():
        hidden = network(batch)
    for head, targets in zip(network.heads.values(), batch.targets, strict=True):
        assert (head(hidden).argmax(1) == targets).float().mean() > 0.98


def test_the_validation_loss_falls_and_the_best_epoch_is_kept(shop: Warehouse) -> None:
    block = GRUAEWeekAll(
        **{**TINY, "max_epochs": 8}, batch_size=8, learning_rate=0.02, held_out=0.2
    ).fit(shop.history(CUTOFF))
    curve = block.report_.curves["validation"]
    assert block.report_.clients == 60
    assert len(curve) == len(block.report_.curves["train"])
    assert min(curve) < curve[0] - 1
    assert block.report_.loss == min(curve)
    assert block.report_.note == ""


def test_training_ends_when_patience_runs_out(shop: Warehouse) -> None:
    # A learning rate so large that later epochs get worse.
    block = GRUAEDayEventType(
        **{**TINY, "max_epochs": 40}, patience=2, learning_rate=5.0, batch_size=8
    ).fit(shop.history(CUTOFF))
    curve = block.report_.curves["validation"]
    assert len(curve) < 40
    assert np.argmin(curve) == len(curve) - 3


def test_ctrl_c_keeps_the_best_epoch(shop: Warehouse) -> None:
    params = {**TINY, "max_epochs": 20}
    block = GRUAEDayEventType(**params).fit(shop.history(CUTOFF), Bars(in_bar=4))
    best = int(np.argmin(block.report_.curves["validation"])) + 1
    assert len(block.report_.curves["validation"]) == 3
    assert block.report_.note == (
        f"interrupted after epoch 3 of 20; the best epoch ({best}) is kept"
    )
    assert block.encode(shop.history(CUTOFF)).vectors.shape == (60, 16)


@pytest.mark.parametrize("interrupted_in", [1, 3, 4])
def test_a_resumed_fit_ends_with_the_same_weights(
    shop: Warehouse, tmp_path: Path, interrupted_in: int
) -> None:
    params = {**TINY, "dropout": 0.3, "max_epochs": 4, "batch_size": 8, "last": 24}
    uninterrupted = GRUAEDayEventType(**params).fit(shop.history(CUTOFF))
    checkpoint = Checkpoint(tmp_path / "fit.safetensors")
    bars = Bars(in_bar=interrupted_in)
    with pytest.raises(KeyboardInterrupt) if interrupted_in == 1 else nullcontext():
        GRUAEDayEventType(**params).fit(shop.history(CUTOFF), bars, checkpoint)
    bars = Bars()
    resumed = GRUAEDayEventType(**params).fit(shop.history(CUTOFF), bars, checkpoint)
    assert next(iter(bars.totals)) == f"gru_ae_day_event_type: epoch {interrupted_in}/4"
    BlockContract.assert_same_fit(resumed, uninterrupted)
    assert resumed.report_.complete


def test_ctrl_c_in_the_first_epoch_is_not_swallowed(shop: Warehouse) -> None:
    with pytest.raises(KeyboardInterrupt):
        GRUAEDayEventType(**TINY).fit(shop.history(CUTOFF), Bars(in_bar=1))


@pytest.fixture
def corner_shop(tmp_path: Path) -> Iterator[Warehouse]:
    """Three clients with one purchase each, and no page visits."""
    buys = pd.DataFrame(
        {"client_id": [1, 2, 3], "timestamp": START + pd.to_timedelta([1, 2, 3], "D"), "sku": 4}
    )
    with land(tmp_path / "warehouse.duckdb", {"product_buy": buys}) as warehouse:
        yield warehouse


def test_fields_without_values_are_left_out(corner_shop: Warehouse) -> None:
    # No page visits: no URL. No product properties: neither category nor price.
    block = GRUAEWeekAll(**TINY).fit(corner_shop.history(CUTOFF))
    assert list(block.vocabularies_) == ["week", "event_type", "sku"]
    assert list(block.network_.heads) == ["week", "event_type", "sku"]


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_very_few_clients_can_be_learned(corner_shop: Warehouse, clients: int) -> None:
    history = corner_shop.history(CUTOFF, np.arange(1, clients + 1))
    snapshot = GRUAEWeekAll(**TINY).fit(history).encode(history)
    assert snapshot.client_ids.tolist() == list(range(1, clients + 1))
    assert np.isfinite(snapshot.vectors).all()


def test_relevant_clients_without_events_make_the_block_unavailable(
    corner_shop: Warehouse,
) -> None:
    nobody = corner_shop.history(CUTOFF, np.array([99]))
    with pytest.raises(BlockUnavailable, match="no relevant client"):
        GRUAEWeekAll(**TINY).fit(nobody)
    fitted = GRUAEWeekAll(**TINY).fit(corner_shop.history(CUTOFF))
    assert fitted.encode(nobody).vectors.shape == (0, 16)


@pytest.mark.parametrize("cls", [GRUAEWeekAll, GRUAEDayEventType])
def test_saved_and_loaded_it_gives_the_same_vectors(
    cls: type[GRUAutoencoder], shop: Warehouse, tmp_path: Path
) -> None:
    block = cls(**TINY).fit(shop.history(CUTOFF))
    block.save(tmp_path)
    loaded = cls.load(tmp_path)
    assert list(loaded.vocabularies_) == list(block.vocabularies_)
    history = shop.history(CUTOFF - pd.Timedelta(days=20))
    np.testing.assert_array_equal(loaded.encode(history).vectors, block.encode(history).vectors)


def test_fitting_leaves_the_global_random_state_and_threads_alone(shop: Warehouse) -> None:
    torch.set_num_threads(2)
    before = torch.random.get_rng_state()
    GRUAEDayEventType(**TINY, threads=1).fit(shop.history(CUTOFF))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_the_paper_preset_has_the_sizes_of_the_paper() -> None:
    week_all = GRUAEWeekAll.from_preset("paper")
    assert (week_all.hidden, week_all.layers, week_all.dropout) == (512, 3, 0.1)
    assert (week_all.last, dict(week_all.values)) == (128, {"sku": 5000, "url": 5000})
    rhythm = GRUAEDayEventType.from_preset("paper")
    assert (rhythm.hidden, rhythm.layers, rhythm.dropout, rhythm.last) == (128, 2, 0.5, 128)
