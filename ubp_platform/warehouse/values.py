"""Money into buckets of price, words into codes: what blocks compute with, beside what a shop has.

The edges of the buckets are fitted once, on the products of the first delivery that has prices in
money, and frozen. A text is encoded once, whatever its case, blanks and form of Unicode; the words
themselves stay as they came.
"""

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import BUCKETS, CODES, PRODUCTS, Table
from ubp_platform.events.text_codec import CODEC, encode

_TABLES = """
CREATE TABLE IF NOT EXISTS price_edge (edge DOUBLE NOT NULL);
CREATE TABLE IF NOT EXISTS text_code (text VARCHAR NOT NULL, codec VARCHAR NOT NULL,
                                      codes UTINYINT[] NOT NULL);
"""
# Texts that are encoded at once.
_TEXTS = 200_000


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make what is kept of prices and texts, where it is missing."""
    connection.execute(_TABLES)


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget the edges of the buckets: for a warehouse that has nothing any more."""
    connection.execute("DELETE FROM price_edge")


def give_values(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make the view ``valued``: the view ``keyed`` with buckets and codes made of money and words.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Inside the transaction of the batch.
    table : Table
        The one whose rows ``keyed`` has.
    """
    replaced, join = [], ""
    if table is PRODUCTS:
        _fit_edges(connection)
        edges = "(SELECT list(edge ORDER BY edge) FROM price_edge)"
        bucket = f"len(list_filter({edges}, lambda edge: edge < keyed.money))"
        replaced.append(
            f"CASE WHEN keyed.money IS NULL THEN keyed.price ELSE {bucket} END AS price"
        )
    if table.codes:
        _encode_new(connection)
        join = f"LEFT JOIN text_code t ON t.codec = '{CODEC}' AND t.text = {_normal('keyed.words')}"
        replaced.append(f"coalesce(keyed.{table.codes}, t.codes) AS {table.codes}")
    columns = f"keyed.* REPLACE ({', '.join(replaced)})" if replaced else "*"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW valued AS SELECT {columns} FROM keyed {join}")


def _fit_edges(connection: duckdb.DuckDBPyConnection) -> None:
    """Cut the products' prices into buckets of equally many, if that was not done before."""
    if connection.execute("SELECT count(*) FROM price_edge").fetchall()[0][0]:
        return
    found = connection.execute("SELECT money FROM keyed WHERE money IS NOT NULL").fetchnumpy()
    prices = np.asarray(found["money"])
    if len(prices):
        edges = np.quantile(prices, np.linspace(0, 1, BUCKETS + 1)[1:-1])
        connection.register("fitted_edge", pa.table({"edge": edges}))
        connection.execute("INSERT INTO price_edge SELECT edge FROM fitted_edge")
        connection.unregister("fitted_edge")


def _encode_new(connection: duckdb.DuckDBPyConnection) -> None:
    """Encode the texts that no batch had before."""
    texts = connection.sql(
        f"""SELECT DISTINCT {_normal("words")} AS text FROM keyed WHERE words IS NOT NULL
            EXCEPT SELECT text FROM text_code WHERE codec = '{CODEC}' ORDER BY text"""
    ).to_arrow_table()["text"]
    for start in range(0, len(texts), _TEXTS):
        some = texts.slice(start, _TEXTS)
        codes = encode(some.to_pylist())
        values = pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), CODES)
        connection.register("new_text", pa.table({"text": some, "codes": values}))
        connection.execute(
            f"INSERT INTO text_code SELECT text, '{CODEC}', codes::UTINYINT[] FROM new_text"
        )
        connection.unregister("new_text")


def _normal(words: str) -> str:
    """Write the normal form of words: lower case, one blank between words, composed Unicode."""
    return f"lower(trim(regexp_replace(nfc_normalize({words}), '\\s+', ' ', 'g')))"
