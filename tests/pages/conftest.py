"""A server with pages, of a shop whose ids, products and queries are text."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipelines.index import index
from pipelines.ingest import ingest
from pipelines.page.paths import add_pages
from pipelines.publish import publish
from pipelines.train import train
from tests.homes import copied
from tests.pages.browser import Tab, browser
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import LATER
from tests.serving.running import Running, running
from tests.shops import random_shop
from ubp_platform.home import Home

#: An id and words that would break a page that did not escape them.
CLIENT = "a/b <i>&\"x'?#%41"
EVIL = "<script>fault()</script>"


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("pages")
    tables = random_shop(seed=3, clients=60)
    for frame in tables.values():
        if "client_id" in frame:
            ids = frame["client_id"].map("c{:03}".format)
            frame["client_id"] = ids.replace("c005", CLIENT)
        if "sku" in frame:
            frame["sku"] = frame["sku"].map("sku-{:03}".format)
    products = tables["product_properties"]
    products["category"] = products["category"].map("Kind {}".format).replace("Kind 1", EVIL)
    products["name"] = f"oak {EVIL}"
    tables["page_visit"]["url"] = tables["page_visit"]["url"].map("/p/{}".format)
    tables["search_query"]["query"] = f"table {EVIL}"
    home = Home(directory / "home")
    ingest(home, str(deliver(directory / "in", **tables)))
    train(home, ["handcrafted", "counters"], LATER)
    publish(home)
    index(home)
    return home


@pytest.fixture
def home(shown: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return copied(shown, tmp_path)


def with_pages(home: Home) -> AbstractContextManager[Running]:
    return running(home, pages=add_pages)


@pytest.fixture(scope="module")
def server(shown: Home) -> Iterator[Running]:
    with with_pages(shown) as found:
        yield found


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found
