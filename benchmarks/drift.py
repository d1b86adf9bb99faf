"""What `ubp compare` measures between healthy profiles, and where a fault was planted.

Healthy: the same cutoff twice, a week later, four weeks later, refreshed instead of encoded, fitted
again with the same seed, and fitted again with another seed and aligned. Faults: in a copy of the
home, the log is damaged, and the profiles of a week later are encoded from it; or the vectors are.
A table row has the measure of the block that is worst by it, and says which limits are crossed.

    python -m benchmarks.drift                      # Complete Journey
    python -m benchmarks.drift --simulated 12000    # a simulated shop of so many clients
    python -m benchmarks.drift --home build/drift   # in a home that is kept, or was kept before
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.machine import report
from pipelines.align import align
from pipelines.compare import with_log
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.refresh import refresh
from pipelines.train import train
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.snapshot_files import Origin, describe_snapshot
from ubp_platform.drift.comparison import Comparison
from ubp_platform.drift.limits import LEAST, Limits
from ubp_platform.drift.sides import Side, at
from ubp_platform.events.schema import EVENTS
from ubp_platform.home import Home
from ubp_platform.profile.listing import aligned_versions, get_version
from ubp_platform.progress import ProgressFactory, bars
from ubp_platform.simulation import simulator
from ubp_platform.times import literal, parse_time, time_stem
from ubp_platform.warehouse import Warehouse

WEEK = timedelta(days=7)
WEEKS = 4
MEASURES = ("shift", "psi", "columns", "auroc", "cosine", "overlap", "absent", "gone")
_SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulated", type=int, metavar="CLIENTS", help="instead of the grocer")
    parser.add_argument("--home", type=Path, help="kept; by default a temporary one")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory(prefix="drift-") as directory:
        home = Home(options.home or Path(directory) / "home")
        source, end = "completejourney", parse_time("2017-12-18")
        if options.simulated:
            source, end = str(Path(directory) / "shop"), parse_time("2022-11-21")
        if not home.warehouse.exists():
            if options.simulated:
                simulator.simulate(Path(source), options.simulated, 100, progress=progress)
            ingest(home, source, progress=progress)
        shop = Shop(home, Path(directory) / "copy", end - WEEKS * WEEK, progress)
        print(f"| pair | {' | '.join(MEASURES)} | crossed |")
        print("|---" * (len(MEASURES) + 2) + "|")
        healthy = _compared(shop, "healthy", shop.healthy())
        faulty = _compared(shop, "fault", shop.faults())
    false = [name for name, found in healthy if found.crossed]
    missed = [name for name, found in faulty if not found.crossed]
    report(
        "drift",
        "Faults that cross a limit of `ubp compare`",
        [
            ("healthy pairs that cross one", f"{len(false)} of {len(healthy)}"),
            ("faults that cross one", f"{len(faulty) - len(missed)} of {len(faulty)}"),
        ],
        false_alarms=false,
        missed=missed,
        seen=f"{len(faulty) - len(missed)}/{len(faulty)}",
    )


def _compared(shop: "Shop", kind: str, pairs: Iterable["Pair"]) -> list[tuple[str, Comparison]]:
    """Compare each pair, and print its row."""
    rows = []
    for name, a, b in pairs:
        rows.append((name, shop.compare(a, b)))
        print(_row(f"{kind}: {name}", rows[-1][1]), flush=True)
    return rows


def _row(name: str, found: Comparison) -> str:
    cells = []
    for measure in MEASURES[:-1]:
        values = [one for block in found.blocks if (one := block.measured[measure]) is not None]
        worst = min(values) if measure in LEAST else max(values)
        cells.append(f"{worst:.3f}")
    cells.append(f"{found.gone / found.a.clients:.3f}")
    crossed = sorted({one.measure for one in found.crossed})
    return f"| {name} | {' | '.join(cells)} | {', '.join(crossed)} |"


Pair = tuple[str, Side, Side]


class Shop:
    """A home with profiles of five weeks, and copies of it in which something is wrong.

    Parameters
    ----------
    home : Home
        Has events.
    copies : Path
        A directory for one copy at a time.
    first : datetime
        The cutoff of the fit.
    progress : ProgressFactory
    """

    def __init__(
        self, home: Home, copies: Path, first: datetime, progress: ProgressFactory
    ) -> None:
        self.home, self.copies, self.progress = home, copies, progress
        self.cutoffs = [first + number * WEEK for number in range(WEEKS + 1)]
        if not aligned_versions(home):
            old = train(home, (), first, progress=progress).profile.name
            new = train(home, (), self.cutoffs[-1], seed=1, progress=progress).profile.name
            align(home, old, new, progress)
        self.aligned = aligned_versions(home)[0]
        self.other, _, self.version = self.aligned.name.partition("@")
        encode(home, self.cutoffs, self.version, progress)

    def side(self, cutoff: datetime, home: Home | None = None) -> Side:
        """Return the profiles of the first version at a cutoff."""
        return at(get_version(home or self.home, self.version), cutoff)

    def compare(self, a: Side, b: Side) -> Comparison:
        """Compare two sides with the limits of the settings."""
        log = Home(b.version.directory.parent.parent)
        return with_log(log, a, b, Limits.load(), self.progress)

    def healthy(self) -> Iterator[Pair]:
        """Yield pairs that differ by what time and chance do."""
        first, last = self.side(self.cutoffs[0]), self.side(self.cutoffs[-1])
        yield "same cutoff twice", first, first
        for before, after in zip(self.cutoffs, self.cutoffs[1:], strict=False):
            yield f"a week later, {after:%m-%d}", self.side(before), self.side(after)
        yield "four weeks later", first, last
        yield "fitted with another seed, aligned", last, at(self.aligned, self.cutoffs[-1])
        copy = self._copy()
        for path in (copy.profiles / self.version).glob("*.parquet"):
            if path.stem != time_stem(self.cutoffs[0]):
                path.unlink()
        refresh(copy, self.version, self.cutoffs[1], progress=self.progress)
        yield "refreshed a week later", first, self.side(self.cutoffs[1], copy)
        copy = self._copy()
        for directory in (copy.blocks, copy.profiles, copy.snapshots):
            shutil.rmtree(directory)
        again = train(copy, (), self.cutoffs[0], progress=self.progress).profile
        yield "fitted with the same seed", first, at(again, self.cutoffs[0])

    def faults(self) -> Iterator[Pair]:
        """Yield pairs of a week, of which the second is wrong."""
        for number in (0, WEEKS - 1):
            start, end = self.cutoffs[number : number + 2]
            before, since = self.side(start), f"timestamp >= {literal(start)}"
            for name, damage in self._damages(since):
                yield f"{name}, {end:%m-%d}", before, self._damaged(end, damage)
        before, last = self.side(self.cutoffs[-2]), self.cutoffs[-1]
        for part in before.version.parts:
            columns = slice(part.start, part.start + part.width)
            yield f"{part.block} of another fit", before, self._swapped(last, columns)
        yield "rows shuffled", before, self._swapped(last, None)

    def _damages(self, since: str) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield faults of a delivery, as SQL."""
        with Warehouse(self.home.warehouse) as warehouse:
            spans = {event.name: warehouse.span(event.name).rows for event in EVENTS}
        there = [name for name, rows in spans.items() if rows]
        half = "hash(client_id) % 2 = 0"
        for name in there:
            yield f"no {name} since a week", [f"DELETE FROM {name} WHERE {since}"]
        yield (
            "prices 100 times as high",
            [
                "UPDATE product_properties SET price = (SELECT max(price) FROM product_properties)",
                *(
                    f"UPDATE {name} SET price = price * 100 WHERE {since}"
                    for name in there
                    if name not in ("page_visit", "search_query")
                ),
            ],
        )
        yield (
            "ids shuffled since a week",
            [_shuffled(name, since) for name in there],
        )
        yield "ids shuffled, all events", [_shuffled(name, "true") for name in there]
        yield (
            "half of the clients lost since a week",
            [f"DELETE FROM {name} WHERE {since} AND {half}" for name in there],
        )
        yield (
            "half of the clients' events lost",
            [f"DELETE FROM {name} WHERE {half}" for name in there],
        )
        yield (
            "half of the events lost",
            [f"DELETE FROM {name} WHERE hash(client_id, timestamp) % 2 = 0" for name in there],
        )
        yield (
            "everything delivered twice",
            [
                f"INSERT INTO {name} SELECT * REPLACE (timestamp + INTERVAL 1 SECOND AS timestamp) "
                f"FROM {name} WHERE {since}"
                for name in there
            ],
        )

    def _damaged(self, cutoff: datetime, damage: Sequence[str]) -> Side:
        """Encode a cutoff from a damaged log."""
        copy = self._copy()
        for path in copy.root.rglob(f"{time_stem(cutoff)}*.parquet"):
            path.unlink()
        with Warehouse(copy.warehouse, write=True) as warehouse:
            for query in damage:
                warehouse.connection.execute(query)
        encode(copy, [cutoff], self.version, self.progress)
        return self.side(cutoff, copy)

    def _swapped(self, cutoff: datetime, columns: slice | None) -> Side:
        """Take some columns of another fit, or all rows of other clients."""
        ours = Snapshot.read(self.side(cutoff).files[-1].path)
        vectors = ours.vectors.copy()
        if columns:
            theirs = Snapshot.read(at(get_version(self.home, self.other), cutoff).files[-1].path)
            vectors[:, columns] = theirs.vectors[:, columns]
        else:
            vectors = np.random.default_rng(_SEED).permutation(vectors)
        path = self._copy().root / f"{time_stem(cutoff)}.parquet"
        Snapshot(cutoff, ours.client_ids, vectors).write(path, Origin("swapped"))
        return Side(get_version(self.home, self.version), [describe_snapshot(path)])

    def _copy(self) -> Home:
        shutil.rmtree(self.copies, ignore_errors=True)
        return Home(shutil.copytree(self.home.root, self.copies))


def _shuffled(table: str, where: str) -> str:
    """Return SQL that gives the events of each client to another one."""
    return f"""UPDATE {table} SET client_id = other FROM (
        SELECT client_id AS own, lead(client_id, 1, first) OVER (ORDER BY place) AS other
        FROM (SELECT client_id, hash(client_id, {_SEED}) AS place,
                     first_value(client_id) OVER (ORDER BY hash(client_id, {_SEED})) AS first
              FROM (SELECT DISTINCT client_id FROM {table} WHERE {where}))
        ) WHERE client_id = own AND {where}"""


if __name__ == "__main__":
    main()
