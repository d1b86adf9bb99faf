"""Runs the steps at each scale and tells what they have cost."""

import argparse
import json
from pathlib import Path

import benchmarks.full_log
from benchmarks.full_log.outcome import append, draw, kept, ratios, summary
from benchmarks.full_log.processes import STEPS, measure
from benchmarks.machine import report
from tests.store.redis_server import PROGRAM


def main() -> None:
    parser = argparse.ArgumentParser(
        description=benchmarks.full_log.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scales", type=float, nargs="+", default=[0.002, 0.01])
    parser.add_argument("--directory", type=Path, default=Path("build/full_log"))
    parser.add_argument(
        "--steps",
        nargs="*",
        choices=STEPS,
        default=[*STEPS],
        metavar="STEP",
        help=f"of {', '.join(STEPS)}; each needs what those before it have left",
    )
    parser.add_argument("--append", type=Path, help="a Markdown file that gets table and picture")
    arguments = parser.parse_args()
    directory, scales = arguments.directory, sorted(arguments.scales)
    if PROGRAM is None and "lookup_redis" in arguments.steps:
        print("lookup_redis is left out: redis-server is not installed")
        arguments.steps.remove("lookup_redis")
    for scale in scales:
        place = directory / f"{scale:g}"
        place.mkdir(parents=True, exist_ok=True)
        results = kept(place)
        for name in arguments.steps:
            results[name] = measure(name, directory, scale)
            (place / "results.json").write_text(json.dumps(results, indent=1))
            print(f"{scale:g} {name}: {summary(results[name])}", flush=True)
    runs = {scale: kept(directory / f"{scale:g}") for scale in scales}
    picture = draw(STEPS, runs, directory / "full_log.png")
    if arguments.append:
        append(STEPS, runs, picture, arguments.append)
    largest = runs[scales[-1]]
    report(
        "full_log",
        f"{scales[-1]:g} of a log of the challenge's size",
        [(name, summary(result)) for name, result in largest.items()],
        scale=scales[-1],
        picture=str(picture),
        ratio=max(ratios(largest).values(), default=0),
    )


if __name__ == "__main__":
    main()
