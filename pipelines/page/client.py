"""What the page of a client shows."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from pipelines.page.history import Timeline, timeline
from pipelines.page.picture import place
from pipelines.retrieve import Feature, features_of
from pipelines.similar import Found, found
from ubp_platform.errors import DamagedFile, NoIndex, UBPError, WarehouseBusy
from ubp_platform.home import Home
from ubp_platform.serving.guard import LOG
from ubp_platform.similar.facts import Client
from ubp_platform.similar.words import label, shown
from ubp_platform.store.entities import ClientId
from ubp_platform.store.retrieval import Profile, ProfileStore

# Similar clients, and features that are shown at once.
_SIMILAR, _UNUSUAL = 10, 12


@dataclass(frozen=True)
class Strip:
    """A block of a profile: for each number the share of clients below it, from 0 to 1."""

    block: str
    shares: list[float]


@dataclass(frozen=True)
class FeatureRow:
    """A feature in words."""

    what: str
    value: str
    share: float


@dataclass
class ClientPage:
    """What is known of a client.

    Parameters
    ----------
    profile : Profile
    facts : Client, optional
    features : list of FeatureRow
        The most unusual first.
    similar : Found, optional
    strips : list of Strip
    point : (float, float), optional
        Where the client lies on the map, in pixels.
    timeline : Timeline, optional
    lacks : list of str
        Why something is not shown.
    """

    profile: Profile
    facts: Client | None = None
    features: list[FeatureRow] = field(default_factory=list)
    similar: Found | None = None
    strips: list[Strip] = field(default_factory=list)
    point: tuple[float, float] | None = None
    timeline: Timeline | None = None
    lacks: list[str] = field(default_factory=list)

    @property
    def unusual(self) -> list[FeatureRow]:
        """The features that are shown at once."""
        return self.features[:_UNUSUAL]

    @property
    def others(self) -> list[FeatureRow]:
        """The other features."""
        return self.features[_UNUSUAL:]


def client_page(home: Home, store: ProfileStore, client_id: ClientId) -> ClientPage | None:
    """Gather what is shown of a client; None if the client has no profile."""
    profile = store.lookup(client_id)
    if not profile.known or profile.cutoff is None:
        return None
    page = ClientPage(profile)
    try:
        _add_facts(page, store)
    except NoIndex as error:
        page.lacks.append(str(error))
    except DamagedFile:
        LOG.exception("the index of similar clients cannot be read")
        page.lacks.append("The index of similar clients is damaged: `ubp doctor` says more.")
    try:
        page.timeline = timeline(home, store.version, client_id, profile.cutoff)
    except WarehouseBusy:
        page.lacks.append(
            "The history cannot be shown now: a delivery is being taken in. Try again in a moment."
        )
    except UBPError:
        LOG.exception("a history cannot be shown")
        page.lacks.append("The history cannot be shown now: the log of the server says why.")
    return page


def _add_facts(page: ClientPage, store: ProfileStore) -> None:
    profile = page.profile
    state = store.similar_search.indexes.state()
    slot = state.facts.slot(profile.client_id)
    page.strips = _strips(store, state.scale, profile.vector)
    if slot is None:
        page.lacks.append("The client is newer than the index of similar clients: `ubp index`")
        return
    page.facts = state.facts.client(slot)
    page.point = place(state.facts, slot)
    page.features = [_row(one) for one in features_of(state.facts, slot)]
    page.similar = found(store, [profile.client_id], store.similar(profile.client_id, _SIMILAR))


def _row(feature: Feature) -> FeatureRow:
    value = shown(feature.name, round(feature.value, 2))
    return FeatureRow(label(feature.name), value, feature.percentile)


def _strips(store: ProfileStore, scale: np.ndarray, vector: np.ndarray) -> list[Strip]:
    """Return where each number lies among all clients.

    Parameters
    ----------
    store : ProfileStore
    scale : ndarray of float32, shape (n_levels, width)
        Quantiles of each number over all clients, ascending.
    vector : ndarray of float32, shape (width,)
    """
    low = (scale < vector).sum(axis=0) / len(scale)
    high = (scale <= vector).sum(axis=0) / len(scale)
    shares = (low + high) / 2
    return [
        Strip(
            part.block,
            [round(float(one), 3) for one in shares[part.start : part.start + part.width]],
        )
        for part in store.version.parts
    ]


def age(time: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in words.

    Examples
    --------
    >>> from datetime import timedelta
    >>> now = datetime(2026, 1, 9)
    >>> [age(now - timedelta(days=days), now) for days in (0.02, 1, 40, 3300)]
    ['less than an hour ago', '1 day ago', '40 days ago', '9.0 years ago']
    """
    if time is None:
        return "never"
    seconds = (now - time).total_seconds()
    if seconds < 3600:
        return "less than an hour ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)} hours ago"
    days = round(seconds / 86400)
    if days < 730:
        return f"{days} day{'s' * (days != 1)} ago"
    return f"{days / 365.25:.1f} years ago"
