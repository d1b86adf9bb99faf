"""What commands name as next is what `ubp status` names, in every state of a home."""

from pathlib import Path

import pandas as pd

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.status import status, what_is_next
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.forgotten import Forgetting, Unfinished
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse


def test_next(tmp_path: Path) -> None:
    home, seen = Home(tmp_path / "home"), []

    def look() -> None:
        found = what_is_next(home)
        assert found == status(home)["next"]
        seen.append(found)

    look()
    tables = random_shop(clients=20, events=300)
    early = {
        name: frame[frame["timestamp"] < FIT.replace(tzinfo=None)]
        if "timestamp" in frame
        else frame
        for name, frame in tables.items()
    }
    ingest(home, str(deliver(tmp_path / "a", **early)), complete_until=FIT)
    look()
    train(home, ["counters"], FIT)
    look()
    publish(home)
    look()
    late = pd.DataFrame({"client_id": [1], "timestamp": [LATER.replace(tzinfo=None)], "sku": [1]})
    ingest(home, str(deliver(tmp_path / "b", product_buy=late)))
    look()
    refresh(home)
    look()
    with Warehouse(home.warehouse, write=True):
        look()
    entry = Forgetting(at=LATER)
    Unfinished(client_ids=["1"], entry=entry).write(home)
    look()
    (home.profiles / "v1" / "profile.json").write_text("{}")
    look()
    assert seen == [
        "ubp ingest SOURCE",
        "ubp train",
        "ubp publish",
        "ubp profile CLIENT_ID",
        "ubp refresh && ubp publish",
        "ubp publish",
        "ubp status, when the other process has finished",
        "ubp forget",
        "ubp doctor",
    ]
