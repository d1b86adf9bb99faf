"""Measurements of a page in a real browser."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Runs in the page: reports faults to the frame around it.
_MEASURE = """<script>
const faults = [];
window.onerror = message => { faults.push(String(message)) };
const address = image => image.src || image.href.baseVal;
// Pixels inside an SVG do not tell their size; their copies do, once the page is there.
const copies = [];
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll("svg image, img")) {
    const copy = new Image();
    copy.src = address(image);
    copy.style = "position: absolute; width: 1px; height: 1px";
    copies.push(copy);
    document.body.append(copy);
  }
});
function measure() {
  const size = element => element.getBoundingClientRect();
  const within = (a, b) => a.left > b.left - 2 && a.right < b.right + 2 && a.top > b.top - 2 &&
    a.bottom < b.bottom + 2;
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  for (const details of document.querySelectorAll("details")) details.open = true;
  const svgs = [...document.querySelectorAll("svg")], root = document.documentElement;
  const clipped = [], overlapping = [], heights = [];
  for (const svg of svgs) {
    const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim());
    texts.forEach((text, place) => {
      heights.push(size(text).height);
      if (!within(size(text), size(svg))) clipped.push(text.textContent);
      for (const other of texts.slice(0, place))
        if (over(size(text), size(other)))
          overlapping.push([other.textContent, text.textContent]);
    });
  }
  return {
    width: root.clientWidth, needed: root.scrollWidth, height: root.scrollHeight,
    headings: [...document.querySelectorAll("h2")].map(heading => heading.textContent),
    pictures: svgs.length, empty: svgs.filter(svg => !size(svg).height).length,
    texts: heights.length, smallest: Math.min(...heights), images: copies.length,
    broken: copies.filter(copy => !copy.naturalWidth).map(copy => copy.src.slice(0, 80)),
    clipped, overlapping, faults,
  };
}
</script>"""
_FRAMES = """<!doctype html><meta charset="utf-8"><script>
onload = () => {
  const told = document.createElement("pre");
  const frames = [...document.querySelectorAll("iframe")];
  told.textContent = JSON.stringify(frames.map(frame => frame.contentWindow.measure()));
  document.body.append(told);
};
</script><body>"""


def chromium() -> str:
    """Return the path of a browser, or skip the test."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"no browser on PATH: none of {', '.join(names)}")
    return found


def measure(page: str, widths: tuple[int, ...], directory: Path) -> list[dict[str, Any]]:
    """Open a page in frames of some widths; a frame, other than a window, can be narrow.

    Returns
    -------
    list of dict
        What was measured, in the order of the widths.
    """
    browser = chromium()
    inside = html.escape(page.replace("<head>", f"<head>{_MEASURE}", 1))
    style = "border: 0; height: 800px; width: {}px"
    frames = (
        f'<iframe scrolling="no" style="{style.format(width)}" srcdoc="{inside}"></iframe>'
        for width in widths
    )
    outside = directory / "frames.html"
    outside.write_text(_FRAMES + "".join(frames))
    done = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", f"--user-data-dir={directory / 'browser'}"),
            *("--window-size=1400,1000", "--dump-dom", outside.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    told = re.search(r"<pre>(.*?)</pre>\s*</body>", done.stdout, re.DOTALL)
    assert told, done.stdout[-500:] + done.stderr[:500]
    found: list[dict[str, Any]] = json.loads(html.unescape(told[1]))
    return found
