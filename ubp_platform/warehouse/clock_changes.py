"""Local times that fall into the hours in which a zone's clocks change."""

from collections.abc import Iterator

import duckdb

from ubp_platform.warehouse.casts import local_time_of
from ubp_platform.warehouse.scan import Scan

# The number of local times that the clocks skipped, and of those that occurred twice.
_CLOCK_CHANGES = """
WITH zone AS (SELECT $1 AS zone),
     delivered_time AS (SELECT {local} AS local FROM delivered),
     changing AS (
         SELECT day FROM (SELECT DISTINCT local::DATE AS day FROM delivered_time), zone
         WHERE timezone(zone, day::TIMESTAMP + INTERVAL 36 HOUR)
               <> timezone(zone, day::TIMESTAMP - INTERVAL 12 HOUR) + INTERVAL 48 HOUR)
SELECT count(*) FILTER (timezone(zone, moment) <> local),
       count(*) FILTER (timezone(zone, moment + INTERVAL 1 HOUR) = local
                        OR timezone(zone, moment - INTERVAL 1 HOUR) = local)
FROM (SELECT local, zone, timezone(zone, local) AS moment
      FROM delivered_time JOIN changing ON local::DATE = day, zone)
"""


def clock_changes(connection: duckdb.DuckDBPyConnection, scan: Scan) -> Iterator[str]:
    """Report the local times of a staged table that do not exist, or exist twice."""
    zone, table = scan.staged.time_zone, scan.table
    if zone in (None, "UTC"):
        return
    for column, kind in table.kinds.items():
        type_ = scan.types.get(column)
        if kind not in ("time", "moment") or type_ is None:
            continue
        if not (local := local_time_of(f'"{column}"', type_)):
            continue
        query = _CLOCK_CHANGES.format(local=local)
        missing, twice = connection.execute(query, [zone]).fetchall()[0]
        if missing:
            yield (
                f"{missing:,} times of {table.name}.{column} do not exist in {zone}, because its "
                "clocks went forward: they are read as one hour later"
            )
        if twice:
            yield (
                f"{twice:,} times of {table.name}.{column} exist twice in {zone}, because its "
                "clocks went back: they are read as the later ones"
            )
