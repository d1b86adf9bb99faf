"""CoLES of pytorch-lifestream on a shop's events: embeddings to compare with the profile.

The library's own recipe (Babaev et al. 2022): a GRU over the events, five slices per
client, a contrastive loss. It reads the output of `ubp export` and writes the input of
`ubp evaluate --embeddings`. It imports nothing of this project and has its own environment:

    ubp evaluate --home shop --heads logistic    # the profile to compare with
    ubp export build/shop --home shop
    python3 -m venv build/coles && build/coles/bin/pip install pytorch-lifestream==0.7.0
    build/coles/bin/python benchmarks/lifestream.py build/shop build/shop-coles
    ubp evaluate --home shop --heads logistic --embeddings build/shop-coles
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

EVENTS = ("product_buy", "add_to_cart", "remove_from_cart", "page_visit", "search_query")
# Number of values per field, the most frequent ones; code 0 is padding, the last all other values.
SKUS, CATEGORIES, PRICES, URLS = 5_000, 1_000, 200, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="output of `ubp export --format challenge`")
    parser.add_argument("out", type=Path, help="directory for client_ids.npy and embeddings.npy")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--shortest", type=int, default=5, help="minimum events per slice")
    parser.add_argument("--longest", type=int, default=150, help="maximum events per slice")
    parser.add_argument("--batch", type=int, default=64, help="clients per batch")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    warnings.filterwarnings("ignore")
    clients = np.load(options.data / "input" / "relevant_clients.npy")
    records, sizes = sequences(read(options.data), clients)
    read_in = time.perf_counter()
    vectors = fit(records, sizes, options)
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "client_ids.npy", clients)
    np.save(options.out / "embeddings.npy", vectors.astype(np.float16))
    seconds = time.perf_counter() - read_in
    print(
        f"{len(clients):,} clients, {vectors.shape[1]} numbers, {seconds:.0f} s for fit and encode"
    )
    known = {"clients": len(clients), "width": vectors.shape[1], "seconds": round(seconds, 1)}
    known |= {"seconds_reading": round(read_in - begun, 1), "epochs": options.epochs}
    print(json.dumps({"benchmark": "lifestream", **known}))


def read(data: Path) -> pd.DataFrame:
    """Read all events before the train window, ordered within a client, with product fields."""
    products = pd.read_parquet(
        data / "product_properties.parquet", columns=["sku", "category", "price"]
    )
    frames = []
    for number, name in enumerate(EVENTS):
        one = pd.read_parquet(data / "input" / f"{name}.parquet")
        kept = one[[column for column in ("client_id", "timestamp", "sku", "url") if column in one]]
        frames.append(kept.assign(event_type=number + 1))
    events = pd.concat(frames, ignore_index=True)
    for column in ("sku", "url"):
        if column not in events:
            events[column] = pd.NA
    events = events.merge(products, on="sku", how="left")
    return events.sort_values(["client_id", "timestamp", "event_type"], kind="stable")


def sequences(events: pd.DataFrame, clients: np.ndarray) -> tuple[list[dict], dict[str, int]]:
    """Return one record per client in the library's format, and the number of values per field."""
    times = pd.to_datetime(events["timestamp"])
    codes = {"event_type": events["event_type"].to_numpy(np.int64)}
    sizes = {"event_type": len(EVENTS) + 1}
    for name, most in {"sku": SKUS, "category": CATEGORIES, "price": PRICES, "url": URLS}.items():
        codes[name], sizes[name] = _codes(events[name], most)
    codes["hour"], sizes["hour"] = times.dt.hour.to_numpy(np.int64) + 1, 25
    codes["weekday"], sizes["weekday"] = times.dt.weekday.to_numpy(np.int64) + 1, 8
    days = (times - times.min()).dt.total_seconds().to_numpy() / 86400
    ids = events["client_id"].to_numpy()
    gap = np.diff(days, prepend=days[:1])
    gap[np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))] = 0
    columns = {name: torch.from_numpy(values) for name, values in codes.items()}
    columns["gap"] = torch.from_numpy(np.log1p(gap).astype(np.float32))
    columns["event_time"] = torch.from_numpy(days.astype(np.float32))
    starts, ends = np.searchsorted(ids, clients), np.searchsorted(ids, clients, side="right")
    return [
        {name: column[start:end] for name, column in columns.items()}
        for start, end in zip(starts, ends, strict=True)
    ], sizes


def _codes(values: pd.Series, most: int) -> tuple[np.ndarray, int]:
    """Number the most frequent values from 2; 1 is missing, the last all other values."""
    counts = values.value_counts()
    top = pd.Index(sorted(counts.index, key=lambda value: (-counts[value], value))[:most])
    ranks = top.get_indexer(values)
    codes = np.where(ranks >= 0, ranks + 2, len(top) + 2)
    codes[values.isna().to_numpy()] = 1
    return codes.astype(np.int64), len(top) + 3


def fit(records: list[dict], sizes: dict[str, int], options: argparse.Namespace) -> np.ndarray:
    """Fit CoLES, and encode: float32, shape (n_clients, width)."""
    import pytorch_lightning as pl
    from ptls.data_load.datasets import MemoryMapDataset, inference_data_loader
    from ptls.frames import PtlsDataModule
    from ptls.frames.coles import ColesDataset, CoLESModule
    from ptls.frames.coles.split_strategy import SampleSlices
    from ptls.nn import RnnSeqEncoder, TrxEncoder

    pl.seed_everything(options.seed, verbose=False)
    wide = {"sku": 32, "category": 24, "price": 16, "url": 24}
    encoder = RnnSeqEncoder(
        trx_encoder=TrxEncoder(
            embeddings={name: {"in": n, "out": wide.get(name, 8)} for name, n in sizes.items()},
            numeric_values={"gap": "identity"},
            embeddings_noise=0.003,
        ),
        hidden_size=options.width,
        type="gru",
    )
    model = CoLESModule(
        seq_encoder=encoder,
        optimizer_partial=partial(torch.optim.Adam, lr=1e-3),
        lr_scheduler_partial=partial(torch.optim.lr_scheduler.StepLR, step_size=30, gamma=0.9),
    )
    longer = [one for one in records if len(one["gap"]) >= options.shortest]
    slices = SampleSlices(split_count=5, cnt_min=options.shortest, cnt_max=options.longest)
    data = PtlsDataModule(
        train_data=ColesDataset(MemoryMapDataset(longer), splitter=slices),
        train_batch_size=options.batch,
    )
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=options.epochs, accelerator="auto", enable_model_summary=False, **quiet
    )
    trainer.fit(model, data)
    loader = inference_data_loader(records, num_workers=0, batch_size=256)
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in loader]).float().cpu().numpy()


if __name__ == "__main__":
    main()
