"""Profiles as JSON, as raw numbers, or as Arrow: what the client accepts."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ubp_platform.serving.reading import Reading
from ubp_platform.store.retrieval import Profile

JSON = "application/json"
NUMBERS = "application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = (JSON, NUMBERS, ARROW)

Answer = tuple[bytes, str, dict[str, str]]
"""The body, its media type, and headers."""


def chosen(accept: str) -> str | None:
    """Return the media type that a client likes best; None if it accepts none of them.

    Examples
    --------
    >>> chosen("text/html, application/*;q=0.5"), chosen("application/octet-stream"), chosen("")
    ('application/json', 'application/octet-stream', 'application/json')
    >>> chosen("application/json;q=0, */*"), chosen("image/png")
    ('application/octet-stream', None)
    """
    if not accept or accept in ("*/*", JSON):
        return JSON
    best, weight = None, 0.0
    for offered in MEDIA_TYPES:
        _, of_it = max(_weight(part, offered) for part in accept.split(","))
        if of_it > weight:
            best, weight = offered, of_it
    return best


def _weight(part: str, offered: str) -> tuple[int, float]:
    """Return how precisely a part of an Accept header names a media type, and how it likes it."""
    kind, *parameters = (one.strip() for one in part.lower().split(";"))
    kinds = ("*/*", f"{offered.partition('/')[0]}/*", offered)
    if kind not in kinds:
        return -1, 0.0
    weight = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                weight = 0.0
    return kinds.index(kind), weight


def one_profile(found: Reading, media: str) -> Answer:
    """Write the answer for one client."""
    (profile,) = found.profiles
    if media == JSON:
        return _json(_about(found) | _described(profile, datetime.now(UTC))), JSON, {}
    if media == ARROW:
        return many_profiles(found, media)
    headers = _headers(found) | {"X-UBP-Known": str(profile.known).lower()}
    if profile.cutoff:
        headers["X-UBP-Cutoff"] = profile.cutoff.isoformat()
    return profile.vector.astype("<f4", copy=False).tobytes(), NUMBERS, headers


def many_profiles(found: Reading, media: str) -> Answer:
    """Write the answer for several clients, in the order in which they were asked for."""
    if media == JSON:
        now = datetime.now(UTC)
        profiles = [_described(one, now) for one in found.profiles]
        return _json(_about(found) | {"profiles": profiles}), JSON, {}
    vectors = np.stack([one.vector for one in found.profiles]).astype("<f4", copy=False)
    if media == NUMBERS:
        known = "".join(str(int(one.known)) for one in found.profiles)
        return vectors.tobytes(), NUMBERS, _headers(found) | {"X-UBP-Known": known}
    return _arrow(found, vectors), ARROW, _headers(found)


def _about(found: Reading) -> dict[str, Any]:
    return {
        "version": found.version,
        "publish": found.publication.publish,
        "blocks": [{"block": name, "width": width} for name, width in found.blocks],
    }


def _described(profile: Profile, now: datetime) -> dict[str, Any]:
    cutoff = profile.cutoff
    return {
        "client_id": profile.client_id,
        "known": profile.known,
        "cutoff": cutoff,
        "age_seconds": None if cutoff is None else round((now - cutoff).total_seconds()),
        "vector": profile.vector,
    }


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _headers(found: Reading) -> dict[str, str]:
    return {
        "X-UBP-Version": found.version,
        "X-UBP-Publish": found.publication.publish,
        "X-UBP-Width": str(sum(width for _, width in found.blocks)),
    }


def _arrow(found: Reading, vectors: np.ndarray) -> bytes:
    width = vectors.shape[1]
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
    columns = {
        "client_id": [one.client_id for one in found.profiles],
        "known": [one.known for one in found.profiles],
        "cutoff": pa.array([one.cutoff for one in found.profiles], pa.timestamp("us", "UTC")),
        "vector": values,
    }
    table = pa.table(columns).replace_schema_metadata(_headers(found))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()
