"""A tab of a real browser, driven by its DevTools protocol."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.evaluation.browser import chromium

_SECONDS = 60


@dataclass
class Tab:
    """A tab; ``faults`` are errors of scripts, of the console, and of what a page loads."""

    socket: ClientConnection
    faults: list[str] = field(default_factory=list)
    _number: int = 0
    _loaded: bool = False

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; what happens meanwhile is noted."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=_SECONDS))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message)
                found: dict[str, Any] = message["result"]
                return found
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.faults.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.faults.append(str(parameters["entry"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                self.faults.append(str(parameters["args"]))

    def wait(self) -> None:
        """Wait until a page has been loaded, which was asked for."""
        until = time.monotonic() + _SECONDS
        while not self._loaded:
            assert time.monotonic() < until
            self._note(json.loads(self.socket.recv(timeout=_SECONDS)))
        self._loaded = False

    def open(self, url: str) -> None:
        self._loaded = False
        self.ask("Page.navigate", url=url)
        self.wait()

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript; a promise is waited for."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str, code: int, text: str = "") -> None:
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **known)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        self.ask("Input.insertText", text=text)

    def violations(self) -> list[str]:
        """Return what axe finds of accessibility, by rule, with the elements."""
        spec = find_spec("axe_core_python")
        assert spec and spec.origin
        self.value(Path(spec.origin).with_name("axe.min.js").read_text("utf-8") + "; 0")
        found = self.value("axe.run().then(found => found.violations)")
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]

    def picture(self, path: Path) -> None:
        """Save a picture of the whole page."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browser() -> Iterator[Tab]:
    """Start a browser, or skip the test, and yield its tab."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        place = [f"--user-data-dir={directory}", "--remote-debugging-port=0", "about:blank"]
        process = subprocess.Popen(
            [chromium(), *arguments, *place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with connect(_address(Path(directory)), max_size=None) as socket:
                tab = Tab(socket)
                for name in ("Page", "Runtime", "Log"):
                    tab.ask(f"{name}.enable")
                yield tab
        finally:
            process.kill()
            process.wait()


def _address(directory: Path) -> str:
    from urllib.request import urlopen

    file, until = directory / "DevToolsActivePort", time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if file.exists() and (lines := file.read_text().split()):
            with urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                tabs = json.load(answer)
            pages = [one for one in tabs if one["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")
