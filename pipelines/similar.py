"""``ubp similar``: clients with similar profiles, and what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ubp_platform.home import Home
from ubp_platform.similar.common import Shared, in_common
from ubp_platform.similar.facts import Client
from ubp_platform.store.entities import ClientId
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.store.similar import SimilarClients
from ubp_platform.warehouse.identifiers import integer_id


@dataclass(frozen=True)
class Found:
    """Similar clients, as they are shown.

    Parameters
    ----------
    to : list of Client
        Those to whom they are similar, as far as the index knows them.
    similar : SimilarClients
    shared : list of Shared
    """

    to: list[Client]
    similar: SimilarClients
    shared: list[Shared]


def similar(
    home: Home,
    client_ids: Sequence[str],
    k: int = 10,
    by: Sequence[str] = (),
    filters: Sequence[str] = (),
    version: str | None = None,
) -> Found:
    """Find clients who are similar to one, or to the middle of several.

    Parameters
    ----------
    home : Home
    client_ids : sequence of str
        As the shop writes them.
    k, by, filters
        As in :meth:`~ubp_platform.store.retrieval.ProfileStore.similar`.
    version : str, optional
        The served one by default.
    """
    store = ProfileStore(home, version)
    ids: list[ClientId] = [one if store.has_text_ids else integer_id(one) for one in client_ids]
    return found(store, ids, store.similar(ids, k, by=by, filters=filters))


def found(store: ProfileStore, ids: Sequence[ClientId], similar: SimilarClients) -> Found:
    """Say what similar clients have in common."""
    state = store.similar_search.indexes.state()
    slots = [slot for one in ids if (slot := state.facts.slot(one)) is not None]
    clients = [one.client for one in similar.neighbours]
    shared = in_common(state.facts, state.description.cutoff, clients) if clients else []
    return Found([state.facts.client(slot) for slot in slots], similar, shared)


def as_json(found: Found) -> dict[str, Any]:
    """Return what was found as JSON-ready values."""
    return {
        "version": found.similar.version,
        "publish": found.similar.publication.publish,
        "index_cutoff": found.similar.index_cutoff.isoformat(),
        "by": found.similar.by,
        "similar": [
            {
                "client_id": one.client.client_id,
                "similarity": round(one.similarity, 6),
                "last_event": one.client.last_event and one.client.last_event.isoformat(),
                "events": one.client.events,
                "categories": one.client.categories,
            }
            for one in found.similar.neighbours
        ],
        "in_common": [
            {"what": one.what, "clients": one.clients, "of_all_clients": round(one.of_all, 4)}
            for one in found.shared
        ],
    }
