"""Data Docs: a page a checked file, and an index of them."""

import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from ubp_platform.home import write_whole
from ubp_platform.quality.context import gx_config
from ubp_platform.quality.suites import SuiteRun

_INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Checked deliveries</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
padding: 0 1rem }} table {{ border-collapse: collapse; width: 100% }} th, td {{ text-align: left;
padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd }}</style>
<h1>Checked deliveries</h1>
<p>One page a file, newest first, written by Great Expectations.</p>
<table><tr><th>time (UTC)<th>batch<th>file<th>result
{rows}
</table></html>
"""


class DataDocs:
    """HTML pages about validated batches.

    Parameters
    ----------
    directory : Path
        Holds ``validations/`` (JSON) and ``site/`` (HTML).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._context: Any = gx.get_context(
            mode="ephemeral", project_config=gx_config(docs=directory)
        )

    def write(self, batch: str, runs: dict[str, SuiteRun]) -> Path:
        """Write one page a file and renew the index.

        Parameters
        ----------
        batch : str
            The batch's name.
        runs : dict of str to SuiteRun
            By file name.

        Returns
        -------
        Path
            The index page; unlike GX's own it shows its rows without the network.
        """
        run = RunIdentifier(run_name=batch, run_time=datetime.now(UTC))
        identifiers = []
        for file, suite_run in runs.items():
            result = suite_run.result()
            result.meta["run_id"] = run
            identifier = ValidationResultIdentifier(
                batch_identifier=file,
                expectation_suite_identifier=ExpectationSuiteIdentifier(name=suite_run.table),
                run_id=run,
            )
            self._context.validation_results_store.store_validation_results(result, identifier)
            identifiers.append(identifier)
        self._context.build_data_docs(resource_identifiers=identifiers)
        return self._write_index()

    def _write_index(self) -> Path:
        rows = []
        for page in sorted((self._directory / "site" / "validations").rglob("*.html")):
            suite, batch, time = page.relative_to(page.parents[3]).parts[:3]
            result = json.loads(
                (
                    self._directory / "validations" / suite / batch / time / f"{page.stem}.json"
                ).read_text()
            )
            broken = result["statistics"]["unsuccessful_expectations"]
            verdict = f"rules broken: {broken}" if broken else "all rules kept"
            link = quote(str(page.relative_to(self._directory)))
            when = datetime.strptime(time[:15], "%Y%m%dT%H%M%S")
            cells = (
                f"{when:%Y-%m-%d %H:%M:%S}",
                batch,
                f'<a href="{link}">{escape(page.stem)}</a>',
            )
            rows.append("<tr>" + "".join(f"<td>{cell}" for cell in (*cells, verdict)))
        rows.sort(reverse=True)
        index = self._directory / "index.html"
        write_whole(index, _INDEX.format(rows="\n".join(rows)))
        return index
