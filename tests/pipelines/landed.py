"""The contents of a warehouse after an ingest."""

from pipelines.ingest import Ingested
from ubp_platform.events.schema import TABLES
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse


def rows(home: Home, query: str) -> list[tuple]:
    with Warehouse(home.warehouse) as warehouse:
        return warehouse.connection.execute(query).fetchall()


def events(home: Home, table: str = "product_buy") -> list[tuple]:
    columns = ", ".join(TABLES[table].columns)
    return rows(home, f"SELECT {columns} FROM {table} ORDER BY ALL")


def landed(result: Ingested, table: str = "product_buy") -> tuple[int, int, int]:
    file = next(file for file in result.files if file.table == table)
    return file.landed, file.known, file.quarantined
