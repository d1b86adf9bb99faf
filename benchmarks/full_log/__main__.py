"""Run the steps at each scale and report their costs."""

import argparse
import json
import sys
from pathlib import Path

import benchmarks.full_log
from benchmarks.arguments import part
from benchmarks.full_log.checks import check_directory, check_document, check_steps
from benchmarks.full_log.outcome import append, draw, earlier, kept, ratios, summary
from benchmarks.full_log.processes import STEPS, measure
from benchmarks.machine import report
from tests.store.redis_server import MISSING, PROGRAM
from ubp_platform.errors import UBPError


def main() -> None:
    options = _options()
    try:
        _run(options.scales, options.directory, options.steps, options.append)
    except UBPError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_log",
        description=benchmarks.full_log.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scales",
        type=part,
        nargs="+",
        default=[0.01, 0.05],
        metavar="SCALE",
        help="parts of the log, above 0 and at most 1, which is all of it (default: 0.01 0.05)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("build/full_log"),
        help="where everything is kept, in one directory per scale (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=STEPS,
        metavar="STEP",
        help=f"of {', '.join(STEPS)}; each needs the output of those before it (default: all)",
    )
    parser.add_argument(
        "--append", type=Path, help="a Markdown file to append table and picture to"
    )
    options = parser.parse_args()
    options.scales = sorted(set(options.scales))
    return options


def _run(
    scales: list[float], directory: Path, wanted: list[str] | None, document: Path | None
) -> None:
    steps = _steps(wanted)
    check_directory(directory)
    if document:
        check_document(document)
    for scale in scales:
        check_steps(steps, directory / f"{scale:g}")
    if wanted is None and len(steps) < len(STEPS):
        print(f"lookup_redis is left out: {MISSING}")
    for scale in scales:
        _measure_all(steps, directory, scale)
    runs = {scale: kept(directory / f"{scale:g}") for scale in scales}
    picture = draw(STEPS, runs, directory / "full_log.png")
    if document:
        append(STEPS, runs, picture, document)
    largest = runs[scales[-1]]
    print(earlier(runs))
    report(
        "full_log",
        f"{scales[-1]:g} of a log of the challenge's size",
        [(name, summary(result)) for name, result in largest.items()],
        scale=scales[-1],
        picture=str(picture),
        ratios={name: round(ratio, 2) for name, ratio in ratios(largest).items()},
    )


def _steps(wanted: list[str] | None) -> list[str]:
    """Return the steps in their order; by default all that can run here."""
    if PROGRAM is None and "lookup_redis" in (wanted or []):
        raise UBPError(f"lookup_redis: {MISSING}")
    if wanted is None:
        return [name for name in STEPS if PROGRAM is not None or name != "lookup_redis"]
    return [name for name in STEPS if name in wanted]


def _measure_all(steps: list[str], directory: Path, scale: float) -> None:
    run = directory / f"{scale:g}"
    run.mkdir(parents=True, exist_ok=True)
    results = kept(run)
    for name in steps:
        results[name] = measure(name, directory, scale)
        (run / "results.json").write_text(json.dumps(results, indent=1))
        print(f"{scale:g} {name}: {summary(results[name])}", flush=True)


if __name__ == "__main__":
    main()
