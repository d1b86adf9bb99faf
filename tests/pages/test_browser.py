"""The pages in a real browser: widths, colours, keyboard, accessibility, no errors."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.pages.browser import Tab
from tests.pages.conftest import CLIENT
from tests.serving.running import Running

PAGES = {
    "start": "/",
    "by category": "/?colour=category",
    "client": "/clients/c003",
    "odd client": f"/clients/{quote(CLIENT, safe='')}",
    "versions": "/versions",
    "login": "/login?wrong",
    "explained": "/explained?client_id=c003",
}


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page(server: Running, tab: Tab, width: int, dark: bool, tmp_path: Path) -> None:
    tab.size(width, dark=dark)
    for name, path in PAGES.items():
        tab.faults.clear()
        tab.open(f"http://127.0.0.1:{server.port}{path}")
        # All that folds is unfolded, so that it is measured too.
        tab.value("document.querySelectorAll('details').forEach(one => { one.open = true })")
        root = "document.documentElement"
        assert tab.value(f"{root}.scrollWidth <= {root}.clientWidth"), name
        assert tab.violations() == [], name
        broken = "[...document.images].filter(one => !one.naturalWidth).length"
        assert tab.value(broken) == 0, name
        assert tab.faults == [], name
        background = tab.value("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") != dark


@pytest.mark.browser
def test_a_client_is_looked_up_by_the_keyboard_alone(server: Running, tab: Tab) -> None:
    tab.size(1440)
    tab.open(f"http://127.0.0.1:{server.port}/")
    focused = "document.activeElement.outerHTML"
    tab.press("Tab", 9)
    assert 'class="skip"' in tab.value(focused)
    tab.press("Tab", 9)
    tab.press("Tab", 9)
    assert 'id="client_id"' in tab.value(focused)
    tab.type("c007")
    tab.press("Enter", 13, "\r")
    tab.wait()
    assert tab.value("document.querySelector('h1').textContent") == "c007"
    # Similar clients can be reached, too.
    links = "[...document.querySelectorAll('#similar ~ .scroll a')]"
    tab.value(f"{links}[0].focus()")
    name = tab.value(f"{links}[0].textContent")
    tab.press("Enter", 13, "\r")
    tab.wait()
    assert tab.value("document.querySelector('h1').textContent") == name


@pytest.mark.browser
def test_the_map_is_coloured_and_leads_to_clients(server: Running, tab: Tab) -> None:
    tab.size(1440)
    tab.open(f"http://127.0.0.1:{server.port}/")
    tab.value(
        """const select = document.querySelector('select'); select.value = 'events';
           select.dispatchEvent(new Event('change')); 0"""
    )
    tab.wait()
    assert tab.value("location.search") == "?colour=events"
    assert "events" in tab.value("document.querySelector('.key .what').textContent")
    box = tab.value("document.getElementById('map').getBoundingClientRect().toJSON()")
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("mousePressed", "mouseReleased"):
        tab.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
    tab.wait()
    assert tab.value("location.pathname").startswith("/clients/")


@pytest.mark.browser
def test_pages_work_without_scripts(server: Running, tab: Tab) -> None:
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(f"http://127.0.0.1:{server.port}/?colour=events")
    tab.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert tab.value("!document.querySelector('#colouring button').hidden")
