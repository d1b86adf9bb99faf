"""Feast objects for the blocks and profile versions of a home."""

import glob
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.feast_object import FeastObject
from feast.types import Array, Float32, Int64, PrimitiveFeastType, String

from ubp_platform.blocks.snapshot import EMBEDDING, feature_names, has_text_ids
from ubp_platform.blocks.snapshot_files import inspect_snapshots
from ubp_platform.home import Home
from ubp_platform.profile.listing import aligned_versions, versions
from ubp_platform.profile.version import ProfileVersion

#: The key of a client's row, and that of a profile version's :class:`Publication`.
CLIENT, PROFILE = "client_id", "profile"
#: The feature of a profile version that says what is online.
STATE = "state"


def text_ids(profiles: list[ProfileVersion]) -> bool:
    """Whether the shop's client ids are text."""
    newest = [sorted(version.directory.glob("*.parquet"))[-1:] for version in profiles]
    return any(has_text_ids(path) for paths in newest for path in paths)


def client_entity(text: bool) -> Entity:
    """Return the entity, whose ids are of the shop's type."""
    return Entity(
        name="client",
        join_keys=[CLIENT],
        value_type=ValueType.STRING if text else ValueType.INT64,
        description="A client of the shop.",
    )


def snapshot_pattern(directory: Path) -> str:
    """Return the pattern that matches all snapshots of a directory, whatever its name."""
    return f"{glob.escape(str(directory))}/*.parquet"


def service_name(version: str) -> str:
    """Return the name of a profile version's feature service."""
    return f"profile_{version.replace('@', '_as_')}"


def view_name(version: str, publish: str = "") -> str:
    """Return the name of a profile version's view.

    Parameters
    ----------
    version : str
    publish : str
        The publish that wrote it to the online store. Empty for the view that is offline only, and
        for what releases without publishes have put online.
    """
    name = service_name(version)
    return f"{name}_{publish}" if publish else name


def profile_view(version: ProfileVersion, text: bool, publish: str = "") -> FeatureView:
    """Return the view of a profile version, or of one publish of it."""
    return _view(
        client_entity(text),
        view_name(version.name, publish),
        version.directory,
        online=bool(publish),
        description=f"Profile version {version.name}" + f", publish {publish}" * bool(publish),
    )


def publications_view() -> FeatureView:
    """Return the view of what is online: one row for each profile version; it is online only."""
    entity = Entity(name=PROFILE, join_keys=[PROFILE], value_type=ValueType.STRING)
    return FeatureView(
        name="publications",
        entities=[entity],
        schema=[Field(name=PROFILE, dtype=String), Field(name=STATE, dtype=String)],
        source=FileSource(name="publications", path="none"),
        ttl=timedelta(0),
    )


def feast_objects(home: Home, publishes: Mapping[str, str]) -> list[FeastObject]:
    """Return all objects of a home.

    Parameters
    ----------
    home : Home
    publishes : mapping of str to str
        The publish of each profile version that is online; empty for one of an earlier release.

    Returns
    -------
    list
        The entity ``client``; for each block of the newest profile version a view with the block's
        name, offline only; for each profile version ``vN`` a view ``profile_vN``, offline only, and
        a service of the same name; for ``vN@vM`` they are called ``profile_vN_as_vM``. If the
        version is online, the service is of the view ``profile_vN_pM`` of the publish that is read.
    """
    profiles = versions(home)
    text = text_ids(profiles)
    client = client_entity(text)
    objects: list[FeastObject] = [client]
    if profiles:
        for part in profiles[-1].parts:
            fitted = part.fitted_as(home)
            description = f"Block {part.block}, version {fitted}."
            path = home.snapshots / part.block / fitted
            objects.append(_view(client, part.block, path, online=False, description=description))
    for version in [*profiles, *aligned_versions(home)]:
        offline = profile_view(version, text)
        offline.online = version.name in publishes
        views = [offline]
        if publish := publishes.get(version.name):
            views.append(profile_view(version, text, publish))
        blocks = ", ".join(f"{part.block} {part.version}" for part in version.parts)
        service = FeatureService(
            name=service_name(version.name),
            features=[views[-1]],
            description=f"Profile version {version.name}, {version.width} numbers: {blocks}.",
        )
        objects += [view.batch_source for view in views]  # type: ignore[misc]
        objects += [*views, service]
    return objects


def _view(
    client: Entity, name: str, directory: Path, *, online: bool, description: str
) -> FeatureView:
    whole, _ = inspect_snapshots(directory)
    names = feature_names(pq.read_schema(whole[-1].path)) if whole else None
    key: PrimitiveFeastType = String if client.value_type == ValueType.STRING else Int64
    schema = [Field(name=CLIENT, dtype=key)]
    if names:
        schema += [Field(name=feature, dtype=Float32) for feature in names]
    else:
        schema.append(Field(name=EMBEDDING, dtype=Array(Float32)))
    source = FileSource(
        name=f"{name}_snapshots",
        path=snapshot_pattern(directory),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        file_format=ParquetFormat(),
    )
    return FeatureView(
        name=name,
        entities=[client],
        schema=schema,
        source=source,
        online=online,
        # Zero: profiles do not expire; each is returned with its cutoff.
        ttl=timedelta(0),
        description=description,
    )
