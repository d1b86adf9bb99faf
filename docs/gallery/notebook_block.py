"""Use a block on DataFrames, as in a notebook: no home, no command line.

A small shop sells ten products. Half of its clients buy only the first five, the others only the
last five. A GRU autoencoder learns a vector per client from the order of purchases; clients of the
same half get similar vectors. The block is then saved and loaded, and encodes a later cutoff.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ubp_platform.blocks.gru_ae_all import GRUAEAll
from ubp_platform.warehouse import History

CLIENTS, PURCHASES = 40, 1200
rng = np.random.default_rng(0)

# Tables are DataFrames or Parquet files with the columns of docs/concepts/events.md.
client_id = rng.integers(0, CLIENTS, PURCHASES)
buys = pd.DataFrame(
    {
        "client_id": client_id,
        "sku": rng.integers(0, 5, PURCHASES) + 5 * (client_id % 2),
        "timestamp": pd.Timestamp("2026-01-01")
        + pd.to_timedelta(rng.integers(0, 90 * 24, PURCHASES), unit="h"),
    }
)
tables = {"product_buy": buys}  # tables that are not given are empty

# A block sees only what happened before the cutoff.
history = History.of(tables, cutoff="2026-03-01")
block = GRUAEAll(hidden=32, layers=1, max_epochs=10).fit(history)
snapshot = block.encode(history)
print(f"{len(snapshot.client_ids)} clients, {snapshot.vectors.shape[1]} numbers each")

# Cosine similarity of clients, less the mean vector.
vectors = snapshot.vectors - snapshot.vectors.mean(axis=0)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
similarity = vectors @ vectors.T
half = snapshot.client_ids % 2
same = half[:, None] == half[None, :]
print(f"similarity within a half {similarity[same].mean():+.2f}")
print(f"similarity across halves {similarity[~same].mean():+.2f}")

# A fitted block encodes other clients and cutoffs without a new fit.
block.save(Path("block"))
later = GRUAEAll.load(Path("block")).encode(History.of(tables, cutoff="2026-04-01"))
print(f"encoded again, as of {later.cutoff:%Y-%m-%d}")
