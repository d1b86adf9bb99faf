"""Feast objects for the blocks and profile versions of a home."""

import glob
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.feast_object import FeastObject
from feast.types import Array, Float32

from ubp_platform.blocks.snapshot import EMBEDDING, feature_names, has_text_ids
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion, versions


def client_entity(profiles: list[ProfileVersion]) -> Entity:
    """Return the entity, whose ids are of the shop's type."""
    text = any(has_text_ids(file.path) for version in profiles for file in version.snapshots[-1:])
    return Entity(
        name="client",
        join_keys=["client_id"],
        value_type=ValueType.STRING if text else ValueType.INT64,
        description="A client of the shop.",
    )


def snapshot_pattern(directory: Path) -> str:
    """Return the pattern that matches all snapshots of a directory, whatever its name."""
    return f"{glob.escape(str(directory))}/*.parquet"


def profile_view_name(version: str) -> str:
    """Return the name of a profile version's view and service."""
    return f"profile_{version}"


def feast_objects(home: Home) -> list[FeastObject]:
    """Return all objects of a home.

    Returns
    -------
    list
        The entity ``client``; for each block of the newest profile version a view with the block's
        name, offline only; for each profile version ``vN`` a view and a service ``profile_vN``.
    """
    profiles = versions(home)
    client = client_entity(profiles)
    objects: list[FeastObject] = [client]
    if profiles:
        for part in profiles[-1].parts:
            objects += _view(
                client,
                part.block,
                home.snapshots / part.block / part.version,
                online=False,
                description=f"Block {part.block}, version {part.version}.",
            )
    for version in profiles:
        name = profile_view_name(version.name)
        blocks = ", ".join(f"{part.block} {part.version}" for part in version.parts)
        source, view = _view(
            client,
            name,
            version.directory,
            online=True,
            description=f"Profile version {version.name}: {blocks}.",
        )
        service = FeatureService(
            name=name,
            features=[view],
            description=f"Profile version {version.name}, {version.width} numbers.",
        )
        objects += [source, view, service]
    return objects


def _view(
    client: Entity, name: str, directory: Path, *, online: bool, description: str
) -> tuple[FileSource, FeatureView]:
    files = sorted(directory.glob("*.parquet"))
    names = feature_names(pq.read_schema(files[-1])) if files else None
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
        # Zero: profiles do not expire; each is returned with its cutoff.
        ttl=timedelta(0),
        description=description,
    )
    return source, view
