"""Data Docs: a page for each checked file, and an index of them.

Great Expectations' own pages load styles and scripts from the network and are blank without them.
These pages show the same validation results, which are stored next to them as JSON.
"""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from ubp_platform.files import debris, discard, make_directory, write_text
from ubp_platform.quality.suites import SuiteRun

_TIME = "%Y%m%dT%H%M%S.%fZ"


class DataDocs:
    """HTML pages about validated batches.

    Parameters
    ----------
    directory : Path
        Contains ``index.html`` and ``validations/BATCH/TIME/`` with a page and a JSON file for each
        checked file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, batch: str, runs: dict[str, SuiteRun]) -> Path:
        """Write one page for each file of a batch, rewrite the index, and return its path."""
        # The directory of a killed process is never written to again.
        for left in debris(self._directory):
            discard(left)
        folder = self._directory / "validations" / batch / f"{datetime.now(UTC):{_TIME}}"
        make_directory(folder)
        for file, run in runs.items():
            self._write_page(folder / f"{file}.json", run.result().to_json_dict())
        return self._write_index()

    def remove_examples(self) -> None:
        """Remove the values of rows from all pages; what was counted stays.

        Nobody knows any more whose they were.
        """
        for path in sorted((self._directory / "validations").rglob("*.json")):
            try:
                result = json.loads(path.read_text("utf-8"))
            except ValueError:  # damaged: nobody can tell what is in it
                discard(path.with_name(f"{path.stem}.html"))
                discard(path)
                continue
            for found in result["results"]:
                counts = found["result"].items()
                found["result"] = {
                    name: value for name, value in counts if isinstance(value, int | float)
                }
            self._write_page(path, result)

    def _write_page(self, path: Path, result: dict[str, Any]) -> None:
        """Write the result of a file and, beside it, its page."""
        batch, time = path.relative_to(self._directory).parts[1:3]
        write_text(path, json.dumps(result, indent=1))
        page = _template("page").render(
            file=path.stem,
            batch=batch,
            time=datetime.strptime(time, _TIME),
            table=result["suite_name"],
            rules=_rules(result),
        )
        write_text(path.with_name(f"{path.stem}.html"), page)

    def _write_index(self) -> Path:
        files = []
        for path in (self._directory / "validations").rglob("*.json"):
            result = json.loads(path.read_text("utf-8"))
            batch, time = path.relative_to(self._directory).parts[1:3]
            files.append(
                {
                    "time": datetime.strptime(time, _TIME),
                    "batch": batch,
                    "name": path.stem,
                    "link": quote(str(path.with_suffix(".html").relative_to(self._directory))),
                    "broken": result["statistics"]["unsuccessful_expectations"],
                }
            )
        files.sort(key=lambda file: (file["time"], file["batch"], file["name"]), reverse=True)
        index = self._directory / "index.html"
        write_text(index, _template("index").render(files=files))
        return index


def _rules(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a page shows of each rule, broken ones first."""
    rules = []
    for found in result["results"]:
        config, counts = found["expectation_config"], found["result"]
        rules.append(
            {
                "text": config.get("description") or config["type"],
                "column": config["kwargs"].get("column", ""),
                "kept": found["success"],
                "checked": counts.get("element_count"),
                "broken": counts.get("unexpected_count"),
                "examples": [*dict.fromkeys(map(str, counts.get("partial_unexpected_list", [])))],
            }
        )
    return sorted(rules, key=lambda rule: bool(rule["kept"]))


@cache
def _template(name: str) -> Any:
    loader = PackageLoader("ubp_platform.quality", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(f"{name}.html")
