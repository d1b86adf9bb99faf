"""``ubp train --clients-sample``: fits of some clients, profiles of everybody."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipelines.clients import relevant_clients
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.gru_ae_day_event_type import GRUAEDayEventType
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home
from ubp_platform.profile.client_samples import draw_clients
from ubp_platform.warehouse import Warehouse

TINY = {"hidden": 8, "layers": 1, "last": 16, "batch_size": 16, "max_epochs": 4}
RHYTHM = "gru_ae_day_event_type"
BLOCKS = ["handcrafted", RHYTHM]


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {**GRUAEDayEventType.presets["small"], **TINY}
    monkeypatch.setattr(GRUAEDayEventType, "presets", {"small": small, "paper": small})


@contextmanager
def ctrl_c_in_third_epoch(description: str, total: float | None, unit: str) -> Iterator:
    def advance(amount: float) -> None:
        if "epoch 3/" in description:
            raise KeyboardInterrupt

    yield advance


def everybody(home: Home) -> set[int]:
    with Warehouse(home.warehouse) as warehouse:
        return set(warehouse.history(FIT).clients.tolist())


def test_fits_learn_from_the_sample_and_profiles_are_of_everybody(landed_home: Home) -> None:
    sampled = train(landed_home, BLOCKS, FIT, clients_sample=20)
    assert {fit.name: fit.report.clients for fit in sampled.fitted} == dict.fromkeys(BLOCKS, 20)
    profiles = Snapshot.read(sampled.profile.snapshot_path(FIT))
    assert set(profiles.client_ids.tolist()) == everybody(landed_home)
    whole = train(landed_home, BLOCKS, FIT)
    assert {fit.name for fit in whole.fitted} == {*BLOCKS}
    # What is counted over all clients is the same, and so is every client's vector.
    ours, theirs = (
        Snapshot.read(Catalog(landed_home).snapshot_path("handcrafted", version, FIT))
        for version in ("v1", "v2")
    )
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)
    few, all_ = ({fit.name: fit for fit in done.fitted}[RHYTHM].load() for done in (sampled, whole))
    for name, vocabulary in all_.vocabularies_.items():
        np.testing.assert_array_equal(few.vocabularies_[name].values, vocabulary.values)


def test_a_fit_is_reused_for_the_same_sample_only(landed_home: Home) -> None:
    def fitted(**options: int) -> bool:
        return bool(train(landed_home, [RHYTHM], FIT, **options).fitted)

    assert fitted(clients_sample=20)
    assert not fitted(clients_sample=20)
    assert fitted(clients_sample=21)
    assert fitted(clients_sample=20, seed=1)
    assert fitted()
    assert not fitted(clients_sample=20)
    # A sample of all clients is no sample.
    assert not fitted(clients_sample=len(everybody(landed_home)))


def test_only_the_same_sample_is_resumed(landed_home: Home) -> None:
    cut = train(landed_home, [RHYTHM], FIT, clients_sample=20, progress=ctrl_c_in_third_epoch)
    assert not cut.fitted[0].report.complete
    with pytest.warns(UserWarning, match="starts again: its checkpoint is of another history"):
        other = train(landed_home, [RHYTHM], FIT, resume=True)
    assert other.fitted[0].report.note == ""
    same = train(landed_home, [RHYTHM], FIT, resume=True, clients_sample=20)
    assert same.fitted[0].report.note == "resumed after epoch 2"
    assert same.fitted[0].report.clients == 20


def test_a_sample_is_of_relevant_clients_with_events(landed_home: Home, tmp_path: Path) -> None:
    np.save(tmp_path / "listed.npy", np.arange(61, 201))  # those above 80 have no event
    relevant_clients(landed_home, tmp_path / "listed.npy")
    sampled = train(landed_home, [RHYTHM], FIT, clients_sample=15)
    assert sampled.fitted[0].report.clients == 15
    profiled = Snapshot.read(sampled.profile.snapshot_path(FIT)).client_ids
    assert 15 < len(profiled) <= 20


def test_a_sample_depends_on_clients_and_seed_alone() -> None:
    clients = np.random.default_rng(0).choice(10**12, 1000, replace=False)
    sample = draw_clients(clients, 100, seed=3)
    assert (len(sample), set(sample) <= set(clients)) == (100, True)
    np.testing.assert_array_equal(sample, np.sort(sample))
    np.testing.assert_array_equal(draw_clients(clients[::-1], 100, seed=3), sample)
    assert set(sample) < set(draw_clients(clients, 101, seed=3))
    assert len({*sample} & {*draw_clients(clients, 100, seed=4)}) < 30
    gone = draw_clients(clients[clients != sample[0]], 100, seed=3)
    assert len({*sample} & {*gone}) == 99
    np.testing.assert_array_equal(draw_clients(clients, 1000, seed=3), np.sort(clients))


def test_samples_are_even() -> None:
    drawn = np.zeros(1000)
    for seed in range(400):
        drawn[draw_clients(np.arange(1000), 100, seed)] += 1
    # Binomial: 400 draws of probability 1/10.
    assert drawn.mean() == 40
    assert drawn.std() == pytest.approx(6, rel=0.1)


def test_command_line(landed_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def ubp(size: int) -> int:
        command = ("train", "handcrafted", "--cutoff", "2022-07-01", "--home", landed_home.root)
        return run_ubp(capsys, *command, "--clients-sample", size).code

    assert (ubp(20), ubp(0)) == (0, 2)
    assert Catalog(landed_home).versions("handcrafted")[0].report.clients == 20
