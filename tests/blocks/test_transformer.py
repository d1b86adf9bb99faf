from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.blocks.bars import Bars
from tests.blocks.contract import BlockContract
from tests.shops import END, START, land
from ubp_platform.blocks import next_product, next_url
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.next_product import NextProduct
from ubp_platform.blocks.next_url import NextURL
from ubp_platform.blocks.ragged import Batches
from ubp_platform.blocks.sequence_learner import training_step, validation_loss
from ubp_platform.blocks.torch_learner import Optimizers
from ubp_platform.blocks.transformer import NextEvent, Transformer
from ubp_platform.errors import BlockUnavailable
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.sequences import Sequences, Vocabulary

CUTOFF = END.tz_localize("UTC").to_pydatetime()
TINY = {"hidden": 16, "layers": 2, "heads": 2, "dropout": 0.0, "max_epochs": 3, "batch_size": 8}
FIRST, RARE = Vocabulary.FIRST, Vocabulary.RARE
CPU = torch.device("cpu")


def ragged(lengths: list[int], values: int = 6, field: str = "url") -> Sequences:
    rng = np.random.default_rng(0)
    tokens = rng.integers(FIRST, FIRST + values, sum(lengths), dtype=np.int32)
    return Sequences(np.arange(len(lengths)), np.append(0, np.cumsum(lengths)), {field: tokens})


def batches(sequences: Sequences, rare: bool = True) -> Batches:
    return Batches(sequences, 8, CPU, end=False, rare=rare)


def url_network(
    values: int = 6, negatives: int = 4, **params: object
) -> next_url.NextURLTransformer:
    torch.manual_seed(0)
    shape = {"hidden": 16, "layers": 3, "heads": 2, "dropout": 0.0, "last": 40, **params}
    return next_url.NextURLTransformer({"url": FIRST + values}, negatives, **shape)


def enlarged(network: Transformer) -> Transformer:
    """Scale weights so that attention is far from uniform."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(10 if weight.dim() > 1 else 1)
    return network.eval()


def states(network: Transformer, inputs: torch.Tensor) -> torch.Tensor:
    """Return the hidden states after the final norm at all positions."""
    x = network.embed(inputs)
    for layer in network.layers:
        x = layer(x)
    return network.norm(x)  # (clients, steps, hidden)


def test_a_later_event_changes_no_earlier_state() -> None:
    network = enlarged(url_network())
    batch = batches(ragged([12, 12, 12])).gather(np.arange(3))
    with torch.inference_mode():
        before = states(network, batch.inputs)
        other = batch.inputs.clone()
        other[0, 7] = FIRST + (other[0, 7] - FIRST + 1) % 6
        after = states(network, other)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.isclose(before[:, 7:], after[:, 7:], atol=1e-3).all(-1).any()


def attended_by_hand(network: Transformer, tokens: list[int]) -> torch.Tensor:
    """Run GPT-2 for one client with loops over positions and heads: (steps, hidden)."""
    table, (heads, hidden) = network.embeddings["url"].weight, (2, 16)
    x = [table[token] + network.positions.weight[step] for step, token in enumerate(tokens)]
    for layer in network.layers:
        asked = [layer.attention_norm(state) for state in x]
        queries = [layer.attention.query(state) for state in asked]
        keys, values = zip(
            *(layer.attention.key_value(state).split(hidden) for state in asked), strict=True
        )
        for step in range(len(x)):
            found = []
            for part in torch.arange(hidden).split(hidden // heads):
                scores = torch.stack([queries[step][part] @ key[part] for key in keys[: step + 1]])
                weights = (scores / (hidden / heads) ** 0.5).softmax(0)
                found.append(sum(w * v[part] for w, v in zip(weights, values, strict=False)))
            state = x[step] + layer.attention.project(torch.cat(found))
            wide = F.gelu(layer.expand(layer.perceptron_norm(state)), approximate="tanh")
            x[step] = state + layer.project(wide)
    return network.norm(torch.stack(x))


def test_the_vector_is_that_of_a_loop_over_one_unpadded_sequence() -> None:
    network = enlarged(url_network())
    sequences = ragged([5, 9, 2])
    with torch.inference_mode():
        together = network.newest(batches(sequences).gather(np.arange(3)))
        for client in range(3):
            events = slice(*sequences.offsets[client : client + 2])
            tokens = [Vocabulary.START, *sequences.fields["url"][events].tolist()]
            alone = attended_by_hand(network, tokens)[-1]
            torch.testing.assert_close(together[client], alone, rtol=1e-4, atol=1e-5)


def test_outputs_at_real_positions_are_the_hidden_states_there() -> None:
    network = enlarged(url_network())
    batch = batches(ragged([5, 9, 2])).gather(np.arange(3))
    with torch.inference_mode():
        hidden, expected = network(batch), states(network, batch.inputs)
    for row, position in zip(hidden, batch.real.tolist(), strict=True):
        step, client = divmod(position, 3)
        torch.testing.assert_close(row, expected[client, step], rtol=1e-5, atol=1e-6)


def test_a_vector_depends_on_neither_neighbours_nor_batch_size_nor_order() -> None:
    network = enlarged(url_network(last=128, hidden=64))
    sequences = ragged(list(np.random.default_rng(1).integers(1, 129, 100)))
    gathered = batches(sequences)
    with torch.inference_mode():
        together = network.newest(gathered.gather(np.arange(100))).numpy()
        for clients in ([17], [5, 17], list(range(99, -1, -1))):
            found = network.newest(gathered.gather(np.array(clients))).numpy()
            np.testing.assert_allclose(found, together[clients], rtol=1e-5, atol=1e-5)


def test_a_batch_of_a_gpus_shape_gives_the_same_vectors() -> None:
    network = enlarged(url_network(last=40))  # 41 positions: 48 steps are more than there are
    sequences = ragged([5, 40, 2, 39, 16])
    gathered = batches(sequences)
    with torch.inference_mode():
        together = network.newest(gathered.gather(np.arange(5)))
        for rows, batch in gathered.shaped(np.arange(5), 256):
            found = network.newest(batch)[: len(rows)]
            torch.testing.assert_close(found, together[rows], rtol=1e-5, atol=1e-5)


def test_the_weights_start_as_gpt_2s_do() -> None:
    network = url_network(values=500, hidden=64, layers=8)
    layer = network.layers[0]

    def spread(module: nn.Module) -> float:
        return module.weight.std().item()

    assert spread(network.embeddings["url"]) == pytest.approx(0.02, rel=0.05)
    assert spread(layer.expand) == pytest.approx(0.02, rel=0.05)
    assert spread(layer.project) == pytest.approx(0.02 / 16**0.5, rel=0.05)
    assert spread(layer.attention.project) == pytest.approx(0.02 / 16**0.5, rel=0.05)
    assert not layer.attention.query.bias.any()


def test_the_newest_and_rare_events_are_not_predicted() -> None:
    tokens = np.array([7, 8, RARE, RARE, 9], np.int32)
    sequences = Sequences(np.array([1, 2]), np.array([0, 3, 5]), {"url": tokens})
    gathered = batches(sequences, rare=False)
    batch = gathered.gather(np.array([0, 1]))
    start, pad = Vocabulary.START, Vocabulary.PAD
    assert batch.inputs[0].T.tolist() == [[start, 7, 8, RARE], [start, RARE, 9, pad]]
    assert batch.last.tolist() == [3, 2]
    assert batch.real.tolist() == [0, 2, 3]  # step by step, both clients per step
    assert batch.targets.tolist() == [[7, 8, 9]]
    assert gathered.positions(np.array([0])) == 2
    assert gathered.positions(np.array([0, 1])) == batch.positions == 3
    assert batches(sequences).positions(np.array([0, 1])) == 5


def test_clients_without_a_prediction_are_encoded_but_not_trained_on(tmp_path: Path) -> None:
    visits = pd.DataFrame({"client_id": [1] * 6 + [2, 2, 3], "url": [5] * 6 + [8, 9, 7]})
    visits["timestamp"] = START + pd.to_timedelta(np.arange(len(visits)), "h")
    with land(tmp_path / "warehouse.duckdb", {"page_visit": visits}) as warehouse:
        history = warehouse.history(CUTOFF)
        block = NextURL(**TINY, values={"url": 1}).fit(history)
        assert block.report_.clients == 1
        assert block.encode(history).client_ids.tolist() == [1, 2, 3]
        with pytest.raises(BlockUnavailable, match="no relevant client has a page_visit"):
            NextURL(**TINY, values={"url": 1}).fit(warehouse.history(CUTOFF, np.array([2, 3])))


def test_every_position_that_is_encoded_was_trained(shop: Warehouse) -> None:
    # The newest event of a long history has the last position, which must not keep its
    # initial weights.
    history = shop.history(CUTOFF)
    block = NextURL(**TINY, last=6, learning_rate=0.01)
    block.vocabularies_ = block.vocabularies(history)
    batch = batches(block.training_sequences(history)).gather(np.arange(20))
    network = block._network()
    before = network.positions.weight.detach().clone()
    training_step(network, batch, Optimizers(network, 1, block.learning_rate))
    assert (network.positions.weight != before).any(1).tolist() == [True] * 7
    assert block.sequences(history).lengths.max() == 6


def test_the_loss_of_product_events_worked_by_hand() -> None:
    sizes = {"event_type": FIRST + 1, "category": FIRST + 2}
    network = next_product.NextProductTransformer(
        sizes, hidden=4, heads=1, layers=1, dropout=0.0, last=128
    )
    with torch.no_grad():
        for head in network.heads.values():
            head.weight.zero_()
        network.heads["category"].bias[FIRST] = np.log(4)
    tokens = {"event_type": np.array([FIRST, FIRST]), "category": np.array([FIRST, FIRST + 1])}
    batch = batches(Sequences(np.array([1]), np.array([0, 2]), tokens)).gather(np.array([0]))
    # Six equal event types: ln 6 each; one of seven categories has weight 4: the sum is 10.
    expected = 2 * np.log(6) + np.log(10 / 4) + np.log(10 / 1)
    assert validation_loss(network, [batch]) == pytest.approx(expected)


@pytest.mark.parametrize("cls", [NextURL, NextProduct])
def test_a_resumed_fit_ends_with_the_same_weights(
    cls: type[NextEvent], shop: Warehouse, tmp_path: Path
) -> None:
    params = {**TINY, "dropout": 0.3} | ({"negatives": 6} if cls is NextURL else {})
    whole = cls(**params).fit(shop.history(CUTOFF))
    checkpoint = Checkpoint(tmp_path / "fit.safetensors")
    interrupted = cls(**params).fit(shop.history(CUTOFF), Bars(at_advance=17), checkpoint)
    assert len(interrupted.report_.curves["train"]) == 2
    resumed = cls(**params).fit(shop.history(CUTOFF), checkpoint=checkpoint)
    BlockContract.assert_same_fit(resumed, whole)
    assert resumed.report_.complete


def markov_chain(tmp_path: Path, urls: int, stay: float) -> Warehouse:
    """Clients who go from URL i to i + 1 with probability `stay`, else to a uniformly drawn one."""
    rng = np.random.default_rng(0)
    clients, visits = 150, 20
    url = rng.integers(0, urls, (visits, clients))
    for step in range(1, visits):
        follows = rng.random(clients) < stay
        url[step] = np.where(follows, (url[step - 1] + 1) % urls, url[step])
    step, client = np.indices(url.shape)
    frame = pd.DataFrame({"client_id": client.ravel(), "url": url.ravel()})
    frame["timestamp"] = START + pd.to_timedelta(step.ravel(), "h")
    return land(tmp_path / "warehouse.duckdb", {"page_visit": frame})


def test_a_markov_chain_is_learned(tmp_path: Path) -> None:
    urls, stay = 24, 0.9
    likely, other = stay + (1 - stay) / urls, (1 - stay) / urls
    entropy = -likely * np.log(likely) - (urls - 1) * other * np.log(other)
    unigram = np.log(urls)
    # The first of twenty visits cannot be predicted.
    best = (19 * entropy + unigram) / 20
    block = NextURL.from_preset("small", last=20, negatives=8, batch_size=16, learning_rate=4e-3)
    with markov_chain(tmp_path, urls, stay) as warehouse:
        block.fit(warehouse.history(CUTOFF))
    assert best - 0.1 < block.report_.loss < best + 0.3 < unigram - 1.5
    assert block.report_.curves["validation"][0] > block.report_.loss


def test_the_paper_presets_have_the_sizes_of_the_paper() -> None:
    url = NextURL.from_preset("paper")
    assert (url.hidden, url.layers, url.heads, url.last) == (192, 6, 4, 256)
    assert url.values["url"] >= 100_000
    product = NextProduct.from_preset("paper")
    assert (product.hidden, product.layers, product.heads, product.last) == (128, 4, 4, 64)
    assert set(NextProduct.fields) == {"event_type", "category", "price"}


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValueError, match=r"hidden \(10\) is not a multiple of heads \(4\)"):
        NextURL(hidden=10, heads=4)
