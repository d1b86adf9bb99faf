"""Clients who are similar to a client, by their profiles.

The first 16 numbers of a profile are enough to compare clients, and cheap. Their scale is how much
they matter, so we use plain Euclidean distance and do not rescale columns.
"""

import numpy as np
import pandas as pd
from served_shop import HOME

from ubp_platform.store.retrieval import ProfileStore

CLIENT = 7
visits = pd.read_parquet("simulated_log/page_visit.parquet")
buys = pd.read_parquet("simulated_log/product_buy.parquet")
clients = np.sort(visits["client_id"].unique())

# Look all clients up in one call; the order is that of the ids.
store = ProfileStore(HOME, width=16)
profiles = [profile for profile in store.lookup_many(clients) if profile.known]
ids = np.array([profile.client_id for profile in profiles])
vectors = np.stack([profile.vector for profile in profiles])

distance = np.linalg.norm(vectors - store.lookup(CLIENT).vector, axis=1)
nearest = ids[np.argsort(distance)[1:6]]
farthest = ids[np.argsort(distance)[-5:]]


def describe(group: str, chosen: np.ndarray) -> dict[str, object]:
    """Count what a group of clients did."""
    return {
        "clients": group,
        "visits each": visits["client_id"].isin(chosen).sum() / len(chosen),
        "purchases each": buys["client_id"].isin(chosen).sum() / len(chosen),
        "last visit": visits.loc[visits["client_id"].isin(chosen), "timestamp"].max().date(),
    }


groups = {f"client {CLIENT}": np.array([CLIENT]), "nearest": nearest, "farthest": farthest}
print(pd.DataFrame([describe(*group) for group in groups.items()]).to_string(index=False))
