"""Conversion of money into price buckets and of words into codes, which blocks compute with.

The edges of the buckets are fitted once, on the products of the first delivery with prices in
money, at their first prices, and then frozen. A text is encoded once, regardless of case,
whitespace and Unicode form; the words themselves are kept as delivered.
"""

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import BUCKETS, CODES, PRODUCTS, TABLES, Table
from ubp_platform.events.text_codec import CODEC, encode

_TABLES = """
CREATE TABLE IF NOT EXISTS price_edge (edge DOUBLE NOT NULL);
CREATE TABLE IF NOT EXISTS text_code (text VARCHAR NOT NULL, codec VARCHAR NOT NULL,
                                      codes UTINYINT[] NOT NULL);
"""
# The number of texts that are encoded at once.
_TEXTS = 200_000


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of price edges and text codes that are missing."""
    connection.execute(_TABLES)


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the edges of the buckets, if no price in money is left."""
    connection.execute(
        """DELETE FROM price_edge
           WHERE NOT EXISTS (FROM product_properties WHERE money IS NOT NULL)"""
    )


def forget_texts(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the codes of texts that are in no table any more; they can be computed again."""
    used = " UNION ".join(
        f"SELECT {_normal('words')} AS text FROM {table.name} WHERE words IS NOT NULL"
        for table in TABLES.values()
        if "words" in table.details
    )
    connection.execute(f"DELETE FROM text_code WHERE text NOT IN ({used})")


def create_valued_view(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Create the view ``valued``: the view ``keyed`` with buckets and codes from money and words.

    The rows of ``keyed`` are those of ``table``; called inside the transaction of a batch.
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
    """Fit buckets with equal numbers of products, unless edges exist already.

    Each product counts once, with its first price, so that no later one moves an edge.
    """
    if connection.execute("SELECT count(*) FROM price_edge").fetchall()[0][0]:
        return
    found = connection.execute(
        """SELECT money FROM keyed WHERE money IS NOT NULL
           QUALIFY row_number() OVER (
               PARTITION BY sku ORDER BY valid_from NULLS FIRST, row_number DESC) = 1"""
    ).fetchnumpy()
    prices = np.asarray(found["money"])
    if len(prices):
        edges = np.quantile(prices, np.linspace(0, 1, BUCKETS + 1)[1:-1])
        connection.register("fitted_edge", pa.table({"edge": edges}))
        connection.execute("INSERT INTO price_edge SELECT edge FROM fitted_edge")
        connection.unregister("fitted_edge")


def _encode_new(connection: duckdb.DuckDBPyConnection) -> None:
    """Encode the texts that are not encoded yet."""
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
    """Return the SQL that normalizes words: lower case, single spaces, composed Unicode."""
    return f"lower(trim(regexp_replace(nfc_normalize({words}), '\\s+', ' ', 'g')))"
