"""Feast's DuckDB offline store, with point-in-time joins that fetch wide columns last.

Feast's join carries every candidate row of a client, with all its features, through a sort. For a
profile of a thousand numbers, nearly all of the time goes into moving numbers that are then
dropped. Here Feast joins the keys alone, with each row's times in place of its features; the
features of the matching rows are then fetched. The results are the same (a test compares them), in
a fraction of the time.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import ibis
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores import duckdb as stock
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.ibis import get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table, Value

from ubp_platform.store.feast_internals import duckdb_writer
from ubp_platform.warehouse.connection import configure


class KeysFirstDuckDBOfflineStoreConfig(stock.DuckDBOfflineStoreConfig):
    """Its configuration in ``feature_store.yaml``."""

    type: Literal["ubp_platform.store.offline.KeysFirstDuckDBOfflineStore"] = (
        "ubp_platform.store.offline.KeysFirstDuckDBOfflineStore"
    )


class KeysFirstDuckDBOfflineStore(stock.DuckDBOfflineStore):
    """Point-in-time joins on keys first; all else is Feast's DuckDB store.

    A source must hold at most one row per entity, time and time of creation, as snapshots do.
    """

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Join each entity row with the newest row of each view that is not after it.

        The query has a DuckDB connection of its own, which ends with the job: the default
        connection of ibis belongs to the host program.
        """
        arguments: dict[str, Any] = {
            "config": config,
            "feature_views": feature_views,
            "feature_refs": feature_refs,
            "entity_df": entity_df,
            "registry": registry,
            "project": project,
            "full_feature_names": full_feature_names,
            "filter_by_created_timestamp": filter_by_created_timestamp,
        }
        # On-demand views compute from features, which are missing until the end.
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        if on_demand or not all(_is_local_parquet(view.batch_source) for view in feature_views):
            return stock.DuckDBOfflineStore.get_historical_features(**arguments)
        connection = ibis.duckdb.connect()
        configure(connection.con)
        features = {view.name: _features(view, feature_refs) for view in feature_views}
        job = get_historical_features_ibis(
            **arguments,
            data_source_reader=_times_for_features(connection, feature_views, features),
            data_source_writer=duckdb_writer(),
            staging_location=config.offline_store.staging_location,
            staging_location_endpoint_override=(
                config.offline_store.staging_location_endpoint_override
            ),
        )
        matches = job.table  # type: ignore[attr-defined]
        for view in feature_views:
            wide = _read(connection, view.batch_source)
            matches = _fetch(matches, view, wide, features[view.name], full_feature_names)
        job.table = matches  # type: ignore[attr-defined]
        return job


def _is_local_parquet(source: DataSource | None) -> bool:
    return (
        isinstance(source, FileSource)
        and isinstance(source.file_format, ParquetFormat)
        and "://" not in source.path
    )


def _read(connection: Backend, source: Any) -> Table:
    with warnings.catch_warnings():
        # DuckDB 2 has deprecated a function that ibis calls.
        warnings.filterwarnings("ignore", ".*fetch_arrow_table", DeprecationWarning)
        return connection.read_parquet(source.path)


def _features(view: FeatureView, feature_refs: list[str]) -> list[str]:
    prefix = f"{view.projection.name_to_use()}:"
    return [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]


def _times_for_features(
    connection: Backend, views: list[FeatureView], features: dict[str, list[str]]
) -> Callable[[DataSource, str], Table]:
    """Make a reader that returns a row's times in place of each of its features."""
    requested = {view.batch_source.name: features[view.name] for view in views if view.batch_source}

    def read(source: DataSource, repo_path: str) -> Table:
        table = _read(connection, source)
        return table.mutate(**dict.fromkeys(requested[source.name], _times(table, source)))

    return read


def _times(table: Table, source: DataSource) -> Value:
    """Return what tells the rows of an entity apart: its time, and when it was created."""
    fields = [source.timestamp_field, source.created_timestamp_column]
    return ibis.struct({field: table[field] for field in fields if field})


def _fetch(
    matches: Table, view: FeatureView, wide: Table, features: list[str], full_feature_names: bool
) -> Table:
    """Replace the times of the matching rows by the features of those rows."""
    source = view.batch_source
    assert source is not None  # noqa: S101 - Feast has just read it
    prefix = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
    keys = view.projection.join_key_map or {e.name: e.name for e in view.entity_columns}
    rows = wide.select(
        **{f"_key_{key}": wide[key] for key in keys},
        _times=_times(wide, source),
        **{f"_feature_{feature}": wide[feature] for feature in features},
    )
    predicates = [rows[f"_key_{key}"] == matches[column] for key, column in keys.items()]
    predicates.append(rows["_times"] == matches[prefix + features[0]])
    # From the right, so that DuckDB builds on the matches and streams the wide rows past them.
    joined = rows.right_join(matches, predicates)
    outputs = {prefix + feature: joined[f"_feature_{feature}"] for feature in features}
    return joined.select(
        **{column: outputs.get(column, joined[column]) for column in matches.columns}
    )
