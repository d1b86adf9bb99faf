"""What is online of a profile version."""

from datetime import datetime

from pydantic import BaseModel

from ubp_platform.blocks.snapshot_files import Origin


class Publication(BaseModel):
    """What is online of a profile version, as its row in the online store says.

    Parameters
    ----------
    publish : str
        The publish that is read: ``p7``; empty if none was finished.
    previous : str
        The one before, for readers that started with it.
    unfinished : str
        One that has begun.
    leaving : list of str
        Those that are being removed.
    cutoff : datetime, optional
        Of the publish that is read.
    made_from : Origin, optional
        Of its newest snapshot.
    clients : int
    served_from : datetime, optional
        When readers were switched to it.
    base : str
        Of a publish of changes: the one whose view has the rows that did not change.
    folded : bool
        Whether the changes have been written into that view, too.
    """

    publish: str = ""
    previous: str = ""
    unfinished: str = ""
    leaving: list[str] = []
    cutoff: datetime | None = None
    made_from: Origin | None = None
    clients: int = 0
    served_from: datetime | None = None
    base: str = ""
    folded: bool = False

    @property
    def table(self) -> str:
        """The publish whose view has all rows, those that are changing excepted."""
        return self.base or self.publish

    @property
    def views(self) -> list[str]:
        """The publishes in whose views a client is looked for, in this order."""
        return [self.table] if self.folded or not self.base else [self.publish, self.base]

    @property
    def former(self) -> list[str]:
        """Publishes that may have rows and are not read any more."""
        return sorted({self.previous, self.unfinished, *self.leaving} - {""})
