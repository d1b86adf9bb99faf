"""The steps from the log to vectors, in ``shop/`` and ``home/`` of the directory of a run."""

import shutil
import time
from pathlib import Path

import duckdb
import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from benchmarks.full_log.step import Done, Step
from pipelines.clients import relevant_clients
from pipelines.ingest import ingest as ingest_delivery
from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.gru_ae_all import GRUAEAll
from ubp_platform.blocks.gru_ae_week_all import GRUAEWeekAll
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.ials import IALS, IALSCategories
from ubp_platform.blocks.ials_page_visits import IALSPageVisits
from ubp_platform.blocks.torch_runtime import device
from ubp_platform.events.schema import EVENT_TYPES, EVENTS
from ubp_platform.home import Home
from ubp_platform.simulation.challenge import plan
from ubp_platform.simulation.simulator import END, simulate
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.ledger import next_batch

CUTOFF, MEMORY = END, "4GB"
LAST, HIDDEN, LAYERS = 128, 128, 2


def _home(place: Path) -> Home:
    return Home(home=place / "home")


def _warehouse(place: Path) -> Warehouse:
    return Warehouse(_home(place).warehouse)


def simulate_log(place: Path, scale: float) -> Done:
    """Write the log and the list of the relevant clients."""
    shutil.rmtree(place / "shop", ignore_errors=True)
    files = simulate(place / "shop", **vars(plan("challenge", scale)))
    return Done(sum(file.rows for file in files if file.path.stem in EVENT_TYPES), "events")


def ingest(place: Path, scale: float) -> Done:
    """Land the log with all checks."""
    shutil.rmtree(_home(place).root, ignore_errors=True)
    result = ingest_delivery(_home(place), str(place / "shop"))
    relevant_clients(_home(place), place / "shop" / "relevant_clients.npy")
    return Done(sum(file.read for file in result.files if file.table in EVENT_TYPES), "events")


def ingest_bare(place: Path, scale: float) -> Done:
    """Only load the same files into sorted tables."""
    path = place / "bare.duckdb"
    path.unlink(missing_ok=True)
    rows = 0
    with duckdb.connect(path) as bare:
        bare.execute(f"SET memory_limit = '{MEMORY}'; SET enable_progress_bar = false")
        for event in EVENTS:
            bare.read_parquet(str(place / "shop" / f"{event.name}.parquet")).create_view("v", True)
            bare.execute(
                f"CREATE TABLE {event.name} AS SELECT * FROM v ORDER BY client_id, timestamp"
            )
            rows += bare.execute(f"SELECT count(*) FROM {event.name}").fetchall()[0][0]
    path.unlink()
    return Done(rows, "events")


def handcrafted(place: Path, scale: float) -> Done:
    """Compute and write the features of the relevant clients."""
    with _warehouse(place) as warehouse:
        history = warehouse.history(CUTOFF)
        encode_to_file(Handcrafted().fit(history), history, place / "handcrafted.parquet")
        return Done(len(history.clients), "clients")


def sequences(place: Path, scale: float) -> Done:
    """Read the relevant clients' last events as tokens of vocabularies."""
    block = GRUAEAll(last=LAST)
    with _warehouse(place) as warehouse:
        history = warehouse.history(CUTOFF)
        block.vocabularies_ = block.vocabularies(history)
        return Done(sum(len(block.sequences(h).client_ids) for _, h in history.slices()), "clients")


def sequences_bare(place: Path, scale: float) -> Done:
    """List the raw values of each relevant client's events in time order."""
    parts = " UNION ALL ".join(
        f"SELECT client_id, timestamp, {number} AS type, "
        f"{'sku' if 'sku' in event.columns else 'url' if 'url' in event.columns else '0'} AS item "
        f"FROM main.{event.name}"
        for number, event in enumerate(EVENTS)
    )
    with _warehouse(place) as warehouse:
        warehouse.connection.execute("SET preserve_insertion_order = false")
        table = warehouse.connection.sql(
            f"""SELECT client_id, list(type ORDER BY timestamp) AS types,
                       list(item ORDER BY timestamp) AS items
                FROM ({parts}) SEMI JOIN relevant_client USING (client_id) GROUP BY client_id"""
        ).to_arrow_table()
    return Done(table.num_rows, "clients")


def _fit(block: IALS, place: Path) -> Done:
    with _warehouse(place) as warehouse:
        block.fit(warehouse.history(CUTOFF))
    return Done(block.report_.clients, "clients")


def ials_categories(place: Path, scale: float) -> Done:
    """Fit the block, from the warehouse."""
    return _fit(IALSCategories.from_preset("small"), place)


def ials_page_visits(place: Path, scale: float) -> Done:
    """Fit the block, from the warehouse."""
    return _fit(IALSPageVisits.from_preset("small"), place)


def _implicit(block: IALS, place: Path) -> Done:
    start = time.perf_counter()
    with _warehouse(place) as warehouse:
        history = warehouse.history(CUTOFF)
        known = None
        if block.items is not None:
            names = tuple(block.weights)
            known = np.sort(history.vocabulary(block.item, block.items, names).values)
        found = history.interactions(block.item, block.weights, known).matrix
    found.data = 1 + block.alpha * found.data
    model = AlternatingLeastSquares(
        factors=block.factors,
        iterations=block.iterations,
        regularization=block.regularization,
        random_state=block.seed,
    )
    with threadpool_limits(1, "blas"):
        model.fit(found, show_progress=False)
    return Done(found.shape[0], "clients", time.perf_counter() - start)


def ials_categories_bare(place: Path, scale: float) -> Done:
    """Call implicit on the same matrix."""
    return _implicit(IALSCategories.from_preset("small"), place)


def ials_page_visits_bare(place: Path, scale: float) -> Done:
    """Call implicit on the same matrix."""
    return _implicit(IALSPageVisits.from_preset("small"), place)


def gru_encode(place: Path, scale: float) -> Done:
    """Encode the relevant clients' sequences, after a fit on a few clients."""
    params = {"hidden": HIDDEN, "layers": LAYERS, "max_epochs": 1, "threads": None, "last": LAST}
    with _warehouse(place) as warehouse:
        everybody = warehouse.history(CUTOFF)
        few = warehouse.history(CUTOFF, everybody.clients[:2000])
        block = GRUAEWeekAll.from_preset("small", **params).fit(few)
        tokens, seconds = 0, 0.0
        for _, history in everybody.slices():
            found = block.sequences(history)
            tokens += int(found.offsets[-1])
            start = time.perf_counter()
            block.encode_sequences(found)
            seconds += time.perf_counter() - start
    return Done(tokens, "tokens", seconds)


def gru_encode_bare(place: Path, scale: float) -> Done:
    """Run a GRU's matrix products for the same number of tokens, a thousand clients at once."""
    clients, tokens, done = 1024, 500_000, 0
    state = torch.randn(clients, HIDDEN, device=device())
    weights = torch.randn(HIDDEN, 3 * HIDDEN, device=device())
    start = time.perf_counter()
    with torch.inference_mode():
        while done < tokens:
            for _ in range(2 * LAYERS):  # the input's and the state's product of each layer
                state @ weights
            done += clients
    return Done(done, "tokens", time.perf_counter() - start)


def next_day(place: Path, scale: float) -> Done:
    """Land the delivery of the day after the last one."""
    with _warehouse(place) as warehouse:
        days = next_batch(warehouse.connection) - 1
    delivery = place / "next_day"
    delivery.mkdir(exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for event in EVENTS:
            columns = ", ".join(
                f"timestamp + INTERVAL {days} DAY AS timestamp" if name == "timestamp" else name
                for name in event.columns
            )
            day = connection.read_parquet(str(place / "shop" / f"{event.name}.parquet"))
            day = day.filter(f"timestamp >= TIMESTAMP '{END:%Y-%m-%d}' - INTERVAL 1 DAY")
            day.project(columns).write_parquet(str(delivery / f"{event.name}.parquet"))
    start = time.perf_counter()
    result = ingest_delivery(_home(place), str(delivery))
    return Done(sum(file.landed for file in result.files), "events", time.perf_counter() - start)


_BARE_LOAD = "DuckDB's sorted `CREATE TABLE AS` of the same files"
STEPS: dict[str, Step] = {
    "simulate": Step("`ubp simulate --like challenge`", simulate_log, leaves="shop"),
    "ingest": Step(
        "ingest with all checks",
        ingest,
        _BARE_LOAD,
        ingest_bare,
        {"seconds": 900, "peak_gb": 8},
        needs=("simulate",),
        leaves="home",
    ),
    "handcrafted": Step(
        "handcrafted features of the relevant clients",
        handcrafted,
        bounds={"seconds": 180, "peak_gb": 8},
        needs=("ingest",),
    ),
    "sequences": Step(
        f"sequences of the last {LAST} events, with vocabularies",
        sequences,
        "DuckDB `list()` of raw values per client",
        sequences_bare,
        {"seconds": 120, "peak_gb": 8},
        needs=("ingest",),
    ),
    "ials_categories": Step(
        "fit of the block",
        ials_categories,
        "`implicit` on the same matrix",
        ials_categories_bare,
        {"peak_gb": 8, "ratio": 1.2},
        needs=("ingest",),
    ),
    "ials_page_visits": Step(
        "fit of the block",
        ials_page_visits,
        "`implicit` on the same matrix",
        ials_page_visits_bare,
        {"peak_gb": 8, "ratio": 1.2},
        needs=("ingest",),
    ),
    "gru_encode": Step(
        f"GRU encode, {LAYERS} × {HIDDEN}",
        gru_encode,
        "the same matrix products alone",
        gru_encode_bare,
        {"ratio": 2},
        needs=("ingest",),
    ),
    "next_day": Step(
        "the next day's delivery on top",
        next_day,
        bounds={"seconds": 60},
        needs=("simulate", "ingest"),
    ),
}
