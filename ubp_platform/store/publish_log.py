"""What readers were served, and when: a record of each publish, beside the profiles.

``profiles/v1/publishes/p7.json`` names the snapshots whose profiles the publish p7 wrote. It is
written before readers see the publish, and completed afterwards with the time at which they did.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.files import make_directory, write_text
from ubp_platform.profile.named_snapshots import NamedSnapshot, find_snapshots
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.store.publication import Publication

_CURE = "restore it from a backup, or remove it; nobody can say then what was served by it"


class PublishRecord(BaseModel):
    """What a publish served.

    Parameters
    ----------
    publish : str
    snapshots : list of NamedSnapshot
        Oldest cutoff first; a client's profile is that of the newest one that has the client.
    served_from : datetime, optional
        When readers were switched to it; None if that is not known to have happened.
    base : str
        The publish that it wrote the changes of; empty if it wrote all profiles.
    """

    publish: str
    snapshots: list[NamedSnapshot]
    served_from: datetime | None = None
    base: str = ""

    def write(self, version: ProfileVersion) -> None:
        """Write or replace the record."""
        path = _directory(version) / f"{self.publish}.json"
        make_directory(path.parent)
        write_text(path, sealed.sealed_json(self))


def begin(version: ProfileVersion, publish: str, base: str = "") -> None:
    """Record that a publish of the version's snapshots is about to be served."""
    snapshots = list(map(NamedSnapshot.of, version.snapshots))
    PublishRecord(publish=publish, snapshots=snapshots, base=base).write(version)


def complete(version: ProfileVersion, publication: Publication) -> None:
    """Note since when readers have been served what they are served now.

    Called right after the switch, and before the next one, for a process that was killed between;
    the records of publishes that never came to it are removed.
    """
    for path in record_paths(version):
        record = read_record(path)
        if record.publish == publication.publish:
            if record.served_from != publication.served_from:
                record.model_copy(update={"served_from": publication.served_from}).write(version)
        elif record.served_from is None:
            path.unlink()


def served_over_time(
    version: ProfileVersion, publication: Publication | None
) -> list[PublishRecord]:
    """Return the publishes that readers saw, oldest first.

    Parameters
    ----------
    version : ProfileVersion
    publication : Publication, optional
        What is online now; its record may still have to be completed.
    """
    found: list[PublishRecord] = []
    for record in sorted(_records(version), key=lambda one: int(one.publish.removeprefix("p"))):
        if publication and publication.publish == record.publish:
            record.served_from = publication.served_from
        if record.served_from:
            # Seen later, even if the clock was corrected backwards meanwhile.
            earlier = [one.served_from for one in found[-1:] if one.served_from]
            record.served_from = max([record.served_from, *earlier])
            found.append(record)
    return found


def served_files(version: ProfileVersion, record: PublishRecord) -> list[SnapshotFile]:
    """Return the snapshots that a publish served, oldest cutoff first.

    Raises
    ------
    UBPError
        If one is gone.
    """
    return find_snapshots(version, record.snapshots)


def written_files(version: ProfileVersion, publish: str) -> list[SnapshotFile]:
    """Return the snapshots that have all clients of whom a publish may have written a row."""
    records = sorted(_records(version), key=lambda one: int(one.publish.removeprefix("p")))
    place = next((n for n, record in enumerate(records) if record.publish == publish), 0)
    if not records or not place or not records[place].base:
        return version.snapshots
    before = {(one.cutoff, one.file) for one in records[place - 1].snapshots}
    new = [one for one in records[place].snapshots if (one.cutoff, one.file) not in before]
    return served_files(version, records[place].model_copy(update={"snapshots": new}))


def ever_served(version: ProfileVersion) -> list[NamedSnapshot]:
    """Return the snapshots that any publish has read."""
    return [one for record in _records(version) for one in record.snapshots]


def record_paths(version: ProfileVersion) -> list[Path]:
    """Return the files of the records."""
    return sorted(_directory(version).glob("*.json"))


def read_record(path: Path) -> PublishRecord:
    """Read a record; raise DamagedFile if it is damaged."""
    return sealed.read_json(path, PublishRecord, _CURE)


def _records(version: ProfileVersion) -> Iterator[PublishRecord]:
    return map(read_record, record_paths(version))


def _directory(version: ProfileVersion) -> Path:
    return version.directory / "publishes"
