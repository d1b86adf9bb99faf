"""What is online of one profile version."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
from feast import FeatureView

from ubp_platform.errors import NotOnline, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.store.entities import ClientId
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineProfile, OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.served import Served

# How often a reading begins again that a publish has overtaken.
_TRIES = 5


class PublishedProfiles:
    """One profile version in the stores, through Feast.

    Parameters
    ----------
    home : Home
    version : ProfileVersion
    """

    def __init__(self, home: Home, version: ProfileVersion) -> None:
        self._home = home
        self._version = version
        self._store = OnlineStore(home)
        # Making one takes as long as a lookup.
        self._views: dict[str, FeatureView] = {}

    @cached_property
    def has_text_ids(self) -> bool:
        """Whether the shop's client ids are text."""
        return text_ids([self._version])

    @property
    def width(self) -> int:
        """Numbers in a profile."""
        return self._version.width

    @property
    def directory(self) -> Path:
        """Where the snapshots lie."""
        return self._version.directory

    def publication(self) -> Publication:
        """Return what is online of the version.

        Raises
        ------
        NotOnline
            If the version is not online.
        StoreUnavailable
            If the online store does not answer.
        UBPError
            If it is another store than the one that was published to, or has lost the version.
        """
        self._is_the_published_store  # noqa: B018
        name = self._version.name
        publication = self.newest()
        if publication and publication.publish:
            self._require_this_version(publication)
            return publication
        served = Served.read_if_whole(self._home)
        if served and name in served.unnumbered and self._store.exists:
            return Publication()  # of an earlier release
        if not self._version.directory.exists():
            raise NotOnline(f"profile {name} has been removed: read another version")
        lost = " any more; is it the same store?" if served and name in served.online else ":"
        raise NotOnline(
            f"profile {name} is not online in {self._store.where}{lost} "
            f"`ubp publish --profile-version {name}` puts it there"
        )

    @cached_property
    def _is_the_published_store(self) -> bool:
        """Whether the configured store is the one that was published to; raise UBPError if not."""
        name, served = self._version.name, Served.read_if_whole(self._home)
        if served and name in served.online:
            served.require_store(self._store.kind)
        return True

    def _require_this_version(self, publication: Publication) -> None:
        """Refuse what an earlier state of the home published under the version's name."""
        origin, fits = publication.made_from, self._version.made_from
        if origin and fits and origin.fits not in ("", fits):
            name = self._version.name
            raise UBPError(
                f"{self._store.where} holds another profile {name}, of an earlier state of this "
                f"home: `ubp publish --profile-version {name}` replaces it"
            )

    def newest(self) -> Publication | None:
        """Return what the online store says of the version; None without a publish of it."""
        return self._store.publication(self._version.name)

    def read(self, ids: Sequence[ClientId]) -> tuple[Publication, list[OnlineProfile | None]]:
        """Look clients up, None for unknown ones; raises as :meth:`publication`.

        All are of the publish that is returned with them: a reading that another one has overtaken
        begins again.
        """
        for _ in range(_TRIES):
            publication = self.publication()
            try:
                found = self._read(publication, ids)
            except UBPError:
                if self._is_readable(publication):
                    raise
                continue
            # Rows of a publish that is no longer kept are missing; and of several rows some may be
            # of the next publish, if that writes its changes into the same view.
            one_row = len(ids) == 1 and None not in found and not publication.base
            if one_row or self._is_readable(publication):
                return publication, found
        raise UBPError(
            f"profile {self._version.name} was published {_TRIES} times during this lookup: look "
            "up fewer clients at once, or publish less often"
        )

    def join(self, keys: pd.DataFrame) -> pa.Table:
        """Join rows with the snapshots of the version, as :meth:`OnlineStore.join`."""
        return self._store.join(self._view(), keys)

    def _read(
        self, publication: Publication, ids: Sequence[ClientId]
    ) -> list[OnlineProfile | None]:
        """Look clients up in the views of a publish, one after the other."""
        first, *others = publication.views or [""]
        found = list(self._store.read(self._view(first), ids))
        for publish in others:
            missing = [row for row, one in enumerate(found) if one is None]
            rest = self._store.read(self._view(publish), [ids[row] for row in missing])
            for row, one in zip(missing, rest, strict=True):
                found[row] = one
        return found

    def _view(self, publish: str = "") -> FeatureView:
        """Return the view of a publish, or without one that of the snapshots."""
        if publish not in self._views:
            if len(self._views) > 1:  # of publishes that have been replaced
                self._views.clear()
            self._views[publish] = profile_view(self._version, self.has_text_ids, publish)
        return self._views[publish]

    def _is_readable(self, publication: Publication) -> bool:
        """Whether the rows of a publish are still kept."""
        now = self.newest() or Publication()
        if not publication.publish:  # of an earlier release
            return not now.publish
        if publication.publish == now.publish:
            return publication.views == now.views
        return publication.publish == now.previous
