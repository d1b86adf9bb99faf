"""Clients who are similar to a client, by their profiles.

The index of similar clients lies beside the profile version: `ubp publish` has made it.
"""

import pandas as pd
from served_shop import HOME

from ubp_platform.store.retrieval import ProfileStore

CLIENT = 7
visits = pd.read_parquet("simulated_log/page_visit.parquet")
buys = pd.read_parquet("simulated_log/product_buy.parquet")

store = ProfileStore(HOME)
found = store.similar(CLIENT, 5)
for one in found.neighbours:
    client = one.client
    print(f"client {client.client_id}: similarity {one.similarity:.2f}, {client.events} events")

# Only clients who have not been seen for a month.
gone = store.similar(CLIENT, 5, filters=["last_days>30"])
# The clients who are most like several: look-alikes of a segment.
segment = store.similar([one.client.client_id for one in found.neighbours], 5)


def describe(group: str, clients: list[object]) -> dict[str, object]:
    """Count what a group of clients did."""
    return {
        "clients": group,
        "visits each": visits["client_id"].isin(clients).sum() / len(clients),
        "purchases each": buys["client_id"].isin(clients).sum() / len(clients),
        "last visit": visits.loc[visits["client_id"].isin(clients), "timestamp"].max().date(),
    }


groups = {f"client {CLIENT}": [CLIENT]}
for name, similar in (("nearest", found), ("nearest, gone", gone), ("like those", segment)):
    groups[name] = [one.client.client_id for one in similar.neighbours]
print(pd.DataFrame([describe(*group) for group in groups.items()]).to_string(index=False))
