"""A client × item matrix of summed event weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from scipy import sparse

from ubp_platform.events.schema import EVENT_CODES, event_codes


@dataclass(frozen=True)
class Interactions:
    """A client × item matrix of summed event weights.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_clients,)
        Row labels, ascending; every row has an entry.
    items : ndarray of int64, shape (n_items,)
        Column labels.
    matrix : csr_matrix of float32, shape (n_clients, n_items)
    """

    client_ids: np.ndarray
    items: np.ndarray
    matrix: sparse.csr_matrix


def read_interactions(
    connection: duckdb.DuckDBPyConnection,
    item: str,
    weights: Mapping[str, float],
    items: np.ndarray | None,
) -> Interactions:
    """Sum the weights in the view ``relevant_event``; see :meth:`History.interactions`."""
    cases = " ".join(
        f"WHEN {EVENT_CODES[name]} THEN {float(weight)!r}" for name, weight in weights.items()
    )
    keep = "true"
    if items is not None:
        connection.register("known_item", pa.table({"value": items}))
        keep = f"{item} IN (SELECT value FROM known_item)"
    table = (
        connection.sql(
            f"""SELECT client_id, {item}::BIGINT AS item,
                       sum(CASE event_type {cases} END)::FLOAT AS weight
                FROM relevant_event
                WHERE list_contains($codes, event_type) AND {item} IS NOT NULL AND {keep}
                GROUP BY ALL ORDER BY client_id, item""",
            params={"codes": event_codes(weights)},
        )
        .to_arrow_table()
        .combine_chunks()
    )
    found = table["item"].to_numpy()
    columns = np.unique(found) if items is None else items
    client_ids, starts = np.unique(table["client_id"].to_numpy(), return_index=True)
    matrix = sparse.csr_matrix(
        (
            table["weight"].to_numpy(),
            np.searchsorted(columns, found).astype(np.int32),
            np.append(starts, table.num_rows).astype(np.int32),
        ),
        shape=(len(client_ids), len(columns)),
    )
    return Interactions(client_ids, columns, matrix)
