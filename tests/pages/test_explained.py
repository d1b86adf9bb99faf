"""What an autoencoder remembers, in the shop's words, on the page and on the command line."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.explain import explain
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pages.conftest import with_pages
from tests.pages.test_pages import text
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import LATER
from tests.shops import random_shop
from ubp_platform.blocks.gru_ae_all import GRUAEAll
from ubp_platform.home import Home


def test_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = random_shop(seed=3, clients=40)
    for frame in tables.values():
        if "sku" in frame:
            frame["sku"] = frame["sku"].map("sku-{:03}".format)
    products = tables["product_properties"]
    products["category"] = products["category"].map("Kind {}".format)
    products["name"] = products["sku"].map("Chair {}".format)
    tables["page_visit"]["url"] = tables["page_visit"]["url"].map("/p/{}".format)
    home = Home(tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "in", **tables)))
    tiny = {"hidden": 8, "layers": 1, "max_epochs": 1, "last": 12, "threads": 1}
    monkeypatch.setattr(GRUAEAll, "presets", {"small": tiny})
    train(home, ["gru_ae_all"], LATER)
    publish(home)
    found = explain(home, "3")
    events = [frame.assign(table=name) for name, frame in tables.items() if "timestamp" in frame]
    mine = sorted(
        (row["timestamp"], row["table"], row.get("sku"), row.get("url"))
        for frame in events
        for row in frame[frame["client_id"] == 3].to_dict("records")
        if row["timestamp"] < LATER.replace(tzinfo=None)
    )
    steps = len(found.true["event_type"])
    newest = mine[-steps:]
    assert found.true["event_type"] == [name.replace("_", " ") for _, name, _, _ in newest]
    assert found.true["sku"] == [f"Chair {sku}" if sku else "" for _, _, sku, _ in newest]
    assert found.true["url"] == [url or "" for _, _, _, url in newest]
    # What is delivered later was not known to the vector, and changes nothing of this.
    at = pd.Timestamp(LATER.replace(tzinfo=None)) - pd.Timedelta("1s")
    late = pd.DataFrame({"client_id": [3], "timestamp": [at], "sku": ["sku-001"]})
    ingest(home, str(deliver(tmp_path / "late", product_buy=late)))
    assert explain(home, "3") == found
    with with_pages(home) as server:
        page = text(server.ask("/explained?client_id=3"))
        assert "What the autoencoder remembers" in page
        assert newest[-1][1].replace("_", " ") in page
        assert "by guessing" in page
        assert "/explained?client_id=3" in server.ask("/clients/3").body.decode()
