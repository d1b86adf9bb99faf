"""`ubp compare`, `ubp publish --if-healthy` and `ubp card` on a small served shop."""

import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipelines.align import align
from pipelines.card import card, write_card
from pipelines.compare import compare, read_comparison
from pipelines.doctor import examine
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.status import status
from pipelines.train import train
from pipelines.versions import tag
from tests.evaluation.browser import measure
from tests.pipelines.commands import Outcome, run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.drift.sides import at
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store.feature_store import write_configuration, write_registry
from ubp_platform.store.served import Served

NEXT = LATER + timedelta(days=1)
FIRST_CLIENT, CLIENTS = 7_000_001, 150


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with v1 as of FIT, which is served, v2 of later events, and v2@v1 as of LATER."""
    directory = tmp_path_factory.mktemp("compared")
    home = Home(directory / "home")
    shop = random_shop(seed=5, clients=CLIENTS, events=2500, first_client=FIRST_CLIENT)
    ingest(home, str(deliver(directory / "in", **shop)))
    train(home, ["handcrafted", "counters", "ials_categories"], FIT)
    publish(home)
    train(home, ["counters", "ials_categories"], LATER, seed=1)
    align(home, "v1")
    return home


@pytest.fixture
def home(served: Home, tmp_path: Path) -> Home:
    home = Home(shutil.copytree(served.root, tmp_path / "home"))
    write_configuration(home)  # with the paths of the copy
    write_registry(home, Served.read(home).publishes)
    return home


def plant(home: Home, cutoff: datetime, *, shuffled: bool) -> None:
    """Write the profiles of v1 again at another cutoff, or give each client another's."""
    old = at(get_version(home, "v1")).files[-1]
    found = Snapshot.read(old.path)
    rows = np.random.default_rng(0).permutation(CLIENTS) if shuffled else slice(None)
    path = get_version(home, "v1").snapshot_path(cutoff)
    Snapshot(cutoff, found.client_ids, found.vectors[rows]).write(path, old.made_from)


def ubp(capsys: pytest.CaptureFixture[str], home: Home, *arguments: object) -> Outcome:
    return run_ubp(capsys, *arguments, "--home", home.root)


def content(home: Home) -> dict[str, bytes]:
    """Return all files of a home but locks, and what SQLite has beside an open file."""
    files = [path for path in home.root.rglob("*") if path.is_file() and ".locks" not in path.parts]
    found = {str(path): path.read_bytes() for path in files if not path.match("*.db-shm")}
    return {name: content for name, content in found.items() if content or "-wal" not in name}


def test_with_itself_nothing_differs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(home, "v1", "v1")
    assert (found.common, found.new, found.gone) == (CLIENTS, 0, 0)
    for block in found.blocks:
        assert (block.shift, block.cosine, block.overlap, block.absent) == (0, 1, 1, 0)
        assert (block.psi, block.auroc) == (0, pytest.approx(0.5))
        assert block.columns.keys() if block.block == "counters" else True
        assert not any(block.columns.values())
    outcome = ubp(capsys, home, "compare", "v1", "v1")
    assert outcome.code == 0
    assert "150 of 150 clients sampled (seed 0); 0 new, 0 gone" in outcome.out
    assert "Healthy: no limit is crossed" in outcome.out
    (kept,) = home.comparisons.glob("*.json")
    assert read_comparison(kept).blocks == found.blocks
    assert kept.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_shuffled_clients_are_seen_and_exit_3(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(home, NEXT, shuffled=True)
    outcome = ubp(capsys, home, "compare", f"{FIT:%F}", f"v1/{NEXT:%F}")
    assert outcome.code == 3
    assert re.search("Not healthy: .*counters: a client's cosine is .*, below", outcome.out)
    outcome = ubp(capsys, home, "compare", "v1", f"v1/{FIT:%F}", "--json")
    assert outcome.code == 0, "both at the cutoff that both have"
    outcome = ubp(capsys, home, "compare", f"v1/{FIT:%F}", f"{NEXT:%F}", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 3
    assert {"cosine", "overlap"} <= {one["measure"] for one in found["crossed"]}
    # The population is the same.
    for block in found["blocks"]:
        assert block["shift"] == pytest.approx(0, abs=1e-6)
        assert max(block["components"]) < block["chance"]


def test_limits_are_settings(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(home, NEXT, shuffled=True)
    monkeypatch.setenv("UBP_COMPARE_COSINE", "-1")
    monkeypatch.setenv("UBP_COMPARE_OVERLAP", "0")
    assert ubp(capsys, home, "compare", f"{FIT:%F}", f"{NEXT:%F}").code == 0
    monkeypatch.setenv("UBP_COMPARE_OVERLAP", "2")
    outcome = ubp(capsys, home, "compare", f"{FIT:%F}", f"{NEXT:%F}")
    assert (outcome.code, "UBP_COMPARE_OVERLAP" in outcome.err) == (2, True)


def test_of_another_space_only_what_is_invariant_is_said(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(home, f"v1/{FIT:%F}", "v2")
    spaces = {block.block: block.same_space for block in found.blocks}
    # handcrafted is normalized by other quantiles, the others are other fits.
    assert spaces == dict.fromkeys(("ials_categories", "counters", "handcrafted"), False)
    for block in found.blocks:
        assert (block.cosine, block.shift, block.auroc, block.components) == (None, None, None, [])
        assert block.overlap is not None
    shown = ubp(capsys, home, "compare", f"v1/{FIT:%F}", "v2").out
    assert "In another space: " in shown
    assert "`ubp align v2 --to v1` makes v2@v1" in shown
    tag(home, "v2@v1", "mapped")
    aligned = compare(home, "v1", "mapped")
    assert not aligned.elsewhere
    assert aligned.b.version == "v2@v1"


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("v9", "v1", "'v9' is neither a profile version (v1, v2, v2@v1) nor a time"),
        ("v1", "v9/2022-07-01", "no profile version is called 'v9'; there are: v1, v2, v2@v1"),
        ("v1/soon", "v1", "not a time: 'soon'"),
        ("v1/2022-07-02", "v1", "profile v1 has no snapshot at 2022-07-02 00:00; there are: 2022"),
        ("", "v1", "'' is neither"),
    ],
)
def test_a_mistyped_side_is_one_line(
    served: Home, capsys: pytest.CaptureFixture[str], a: str, b: str, message: str
) -> None:
    before = content(served)
    outcome = ubp(capsys, served, "compare", a, b)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert message in outcome.err
    assert content(served) == before


def test_a_damaged_snapshot_is_named_with_its_cure(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    path = at(get_version(home, "v1")).files[-1].path
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    outcome = ubp(capsys, home, "compare", "v1", "v1")
    assert outcome.code == 2
    assert f"{path} is damaged: `ubp encode --cutoff" in outcome.err


def test_a_faulty_publish_writes_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    plant(home, NEXT, shuffled=True)
    before = content(home)
    arguments = ("publish", "--if-healthy", "--profile-version", "v1")
    outcome = ubp(capsys, home, *arguments)
    assert outcome.code == 3
    assert "Not healthy: " in outcome.out
    assert "Nothing was published: readers go on with v1 at 2022-07-01" in outcome.out
    (kept,) = home.comparisons.glob("*.json")
    assert read_comparison(kept).crossed
    shutil.rmtree(home.comparisons)
    assert content(home) == before


def test_what_was_held_back_is_said_until_it_is_published(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in list(home.profiles.glob("v2*")):
        shutil.rmtree(path)
    plant(home, NEXT, shuffled=True)
    assert ubp(capsys, home, "publish", "--if-healthy").code == 3
    now = status(home)
    assert now["held_back"]["cutoff"] == NEXT.isoformat()
    assert now["held_back"]["look"] == "ubp compare v1/2022-07-01 v1/2022-07-11"
    assert not now["next"].startswith("ubp publish")
    shown = ubp(capsys, home, "status").out
    assert "Held back profile v1 as of 2022-07-11, it differs too much" in shown
    assert card(home, "v1").drift[0].crossed
    assert ubp(capsys, home, "publish").code == 0
    assert status(home)["held_back"] is None


def test_a_type_of_events_that_ends_early_is_held_back_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, shop = Home(tmp_path / "home"), random_shop(seed=5, events=2500)
    visits = shop["page_visit"]
    shop["page_visit"] = visits[visits["timestamp"] < LATER.replace(tzinfo=None) - timedelta(3)]
    ingest(home, str(deliver(tmp_path / "in", **shop)))
    train(home, ["counters"], FIT)
    publish(home)
    encode(home, [LATER])
    held = ubp(capsys, home, "publish", "--if-healthy")
    assert held.code == 3
    assert "page_visit: 3 days without an event, above 0" in held.out
    assert "page_visit has no event since" in ubp(capsys, home, "status").out
    # What was published all the same is not held against those who go on from there.
    later = LATER + timedelta(days=1)
    encode(home, [later])
    found = compare(home, LATER.isoformat(), later.isoformat())
    assert "gap" not in {one.measure for one in found.crossed}


def test_a_healthy_publish_is_kept_with_the_home(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(home, NEXT, shuffled=False)
    assert ubp(capsys, home, "publish", "--if-healthy", "--profile-version", "v1").code == 0
    assert Served.read(home).cutoff == NEXT.isoformat()
    assert len([*home.comparisons.glob("*.json")]) == 1
    # The same again: nothing to compare, and nothing that is written.
    assert ubp(capsys, home, "publish", "--if-healthy", "--profile-version", "v1").code == 0
    assert examine(home) == []


def test_a_refresh_is_compared_by_everybodys_newest_profile(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    refresh(home, "v1", FIT + timedelta(hours=3))
    newest = at(get_version(home, "v1"))
    assert [file.partial for file in newest.files] == [False, True]
    assert len(newest.clients) == CLIENTS
    assert ubp(capsys, home, "publish", "--if-healthy", "--profile-version", "v1").code == 0
    (kept,) = home.comparisons.glob("*.json")
    found = read_comparison(kept)
    assert (found.common, found.new, found.gone) == (CLIENTS, 0, 0)
    assert all(block.cosine > 0.9 for block in found.blocks)


def test_the_first_publish_has_nothing_to_be_compared_with(
    served: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "new")
    shutil.copytree(served.root, home.root, ignore=shutil.ignore_patterns("feast", "publishes"))
    assert ubp(capsys, home, "publish", "--if-healthy", "--profile-version", "v1").code == 0


def test_another_version_is_compared_in_the_space_of_the_served_one(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(home.profiles / "v2@v1", home.root / "aside")
    before = content(home)
    outcome = ubp(capsys, home, "publish", "--if-healthy")
    assert outcome.code == 2
    assert "profile v2 is in another space than v1, which is served: `ubp align v2" in outcome.err
    assert content(home) == before
    shutil.move(home.root / "aside", home.profiles / "v2@v1")
    encode(home, [LATER], "v1")
    publish(home, "v1")
    outcome = ubp(capsys, home, "publish", "--if-healthy")
    assert outcome.code in (0, 3)
    assert ("v1 at 2022-07-10 → v2@v1 at 2022-07-10" in outcome.out) == (outcome.code == 3)


def test_the_card_says_what_there_is_and_names_no_client(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(home, NEXT, shuffled=True)
    compare(home, f"v1/{FIT:%F}", f"v1/{NEXT:%F}")
    tag(home, "v1", "production")
    outcome = ubp(capsys, home, "card", "v1", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 0
    assert (found["version"], found["tags"]) == ("v1", ["production"])
    assert found["served"]["clients"] == found["data"]["clients"] == CLIENTS
    assert [one["served_from"] is None for one in found["cutoffs"]] == [False, True]
    assert found["drift"][0]["crossed"]
    assert found["alignments"][0]["of"] == "v2"
    assert not (home.root / "report").exists()
    outcome = ubp(capsys, home, "card", "production")
    page = Path(outcome.out.removeprefix("Card: ").strip()).read_text()
    for said in ("<strong>Served</strong> to 150 clients", "not healthy", "production"):
        assert said in page
    assert "2022-07-11 00:00 UTC on are in no profile" in page
    assert not re.search(r"7,?000,?\d{3}", page + json.dumps(found))
    assert not re.findall(r'https?:|<script|<link|(?:src|href)="(?!#|data:)', page)
    for one in measure(page, (390, 1200), tmp_path):
        assert one["needed"] <= one["width"] + 1, one
        assert (one["clipped"], one["overlapping"], one["faults"]) == ([], [], [])


def test_the_card_of_an_aligned_version_says_whose_space_it_is_in(home: Home) -> None:
    found = card(home, "v2@v1")
    assert [block.kind for block in found.blocks].count("mapped") == 1
    assert "Its numbers are for models of v1, and mean nothing to models of another version." in (
        found.limits
    )
    assert "Fitted on 150 clients" in write_card(home, found).read_text()
