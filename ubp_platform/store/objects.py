"""Feast objects, made from the blocks and profile versions of a home."""

import glob
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.feast_object import FeastObject
from feast.types import Array, Float32

from ubp_platform.blocks.catalog import SnapshotFile, snapshot_files
from ubp_platform.blocks.snapshot import EMBEDDING, feature_names, has_text_ids
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion, versions


def client_entity(profiles: list[ProfileVersion]) -> Entity:
    """Make the entity, whose ids are of the shop's type."""
    text = any(has_text_ids(file.path) for version in profiles for file in version.snapshots[-1:])
    return Entity(
        name="client",
        join_keys=["client_id"],
        value_type=ValueType.STRING if text else ValueType.INT64,
        description="A client of the shop.",
    )


def snapshot_pattern(directory: Path) -> str:
    """Name all snapshots of a directory; the directory's own name is taken as it is."""
    return f"{glob.escape(str(directory))}/*.parquet"


def profile_view_name(version: str) -> str:
    """Name the view (and the service) of a profile version."""
    return f"profile_{version}"


def feast_objects(home: Home) -> list[FeastObject]:
    """Make all objects of a home.

    Parameters
    ----------
    home : Home

    Returns
    -------
    list
        The entity ``client``; for each block of the newest profile version a view of its name,
        offline only; for each profile version ``vN`` a view and a feature service ``profile_vN``.
    """
    profiles = versions(home)
    client = client_entity(profiles)
    objects: list[FeastObject] = [client]
    if profiles:
        for part in profiles[-1].parts:
            directory = home.snapshots / part.block / part.version
            objects += _view(
                client,
                part.block,
                directory,
                snapshot_files(directory),
                online=False,
                description=f"Block {part.block}, version {part.version}.",
            )
    for version in profiles:
        view = _profile_view(client, version)
        service = FeatureService(
            name=profile_view_name(version.name),
            features=[view[1]],
            description=f"Profile version {version.name}, {version.width} numbers.",
        )
        objects += [*view, service]
    return objects


def _profile_view(client: Entity, version: ProfileVersion) -> tuple[FileSource, FeatureView]:
    blocks = ", ".join(f"{part.block} {part.version}" for part in version.parts)
    return _view(
        client,
        profile_view_name(version.name),
        version.directory,
        version.snapshots,
        online=True,
        description=f"Profile version {version.name}: {blocks}.",
    )


def _view(
    client: Entity,
    name: str,
    directory: Path,
    files: list[SnapshotFile],
    online: bool,
    description: str,
) -> tuple[FileSource, FeatureView]:
    names = feature_names(pq.read_schema(files[-1].path)) if files else None
    schema = (
        [Field(name=feature, dtype=Float32) for feature in names]
        if names
        else [Field(name=EMBEDDING, dtype=Array(Float32))]
    )
    source = FileSource(
        name=f"{name}_snapshots",
        path=snapshot_pattern(directory),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        file_format=ParquetFormat(),
    )
    view = FeatureView(
        name=name,
        entities=[client],
        schema=schema,
        source=source,
        online=online,
        # Zero: a profile does not expire, it gets old; its time is handed out with it.
        ttl=timedelta(0),
        description=description,
    )
    return source, view
