"""The card of a profile version: what it is made of, how it is, and what it does not know."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from ubp_platform.drift.comparison import Comparison
from ubp_platform.profile.alignment import Alignment
from ubp_platform.report.drift_picture import comparison_picture
from ubp_platform.report.templates import environment


class CardTable(BaseModel):
    """The rows of one event type."""

    name: str
    rows: int
    clients: int
    first: datetime | None
    last: datetime | None


class CardData(BaseModel):
    """The log of the home, now.

    Parameters
    ----------
    tables : list of CardTable
        The event types with rows.
    events, clients : int
    relevant : int, optional
        Clients on the list of those to profile.
    complete_until : datetime, optional
    deliveries, landed, quarantined : int
        Batches, and their rows.
    """

    tables: list[CardTable]
    events: int
    clients: int
    relevant: int | None
    complete_until: datetime | None
    deliveries: int
    landed: int
    quarantined: int


class CardCutoff(BaseModel):
    """A snapshot of the version.

    Parameters
    ----------
    cutoff : datetime
    revision, clients : int
    created : datetime, optional
        When it was encoded.
    partial : bool
        Whether it holds some clients only.
    as_delivered : bool, optional
        Whether events were left out that were delivered later; None where that is not known.
    served_from : datetime, optional
        Since when readers have got it, or did.
    """

    cutoff: datetime
    revision: int
    clients: int
    created: datetime | None
    partial: bool
    as_delivered: bool | None
    served_from: datetime | None


class CardBlock(BaseModel):
    """A block of the version.

    Parameters
    ----------
    block, version : str
    width : int
    fit_cutoff : datetime
    kind : str
        Its normalization; ``mapped`` where it comes from another version.
    reads : list of str
        Event types.
    coverage : float, optional
        The share of the newest profiles in which it knows something of the client, in a sample.
    forgotten : int
        How many of the clients it may have learned from have been forgotten since.
    """

    block: str
    version: str
    width: int
    fit_cutoff: datetime
    kind: str
    reads: list[str]
    coverage: float | None
    forgotten: int = 0


class CardScores(BaseModel):
    """The last evaluation, if its profile has the same blocks.

    Parameters
    ----------
    made_at, cutoff : datetime
    same_fits : bool
        Whether it is of these very fits; else of fits on the events before its cutoff.
    clients : int
    sums : dict of str to float
        The sum of all tasks, by representation.
    tasks : dict of str to float
        The score of the profile, by task.
    """

    made_at: datetime
    cutoff: datetime
    same_fits: bool
    clients: int
    sums: dict[str, float]
    tasks: dict[str, float]


class CardServed(BaseModel):
    """What readers get who name no version: this one."""

    cutoff: datetime
    clients: int
    published_at: datetime
    online_store: str


class Card(BaseModel):
    """All that is said of a version.

    Parameters
    ----------
    made_at : datetime
    version : str
    width : int
    created_at, model_cutoff : datetime
        When it was made; the end of the events that its models learned from.
    tags : list of str
    served : CardServed, optional
        None if another version, or none, is served.
    online : bool
        Whether it can be read by its name.
    data : CardData, optional
        None while the warehouse is missing or in use.
    cutoffs : list of CardCutoff
        Oldest first.
    blocks : list of CardBlock
    scores : CardScores, optional
    drift : list of Comparison
        The last ones that were kept, newest first.
    alignments : list of Alignment
        That of the version itself, and of others with it.
    limits : list of str
        What the profiles do not know, in sentences.
    """

    made_at: datetime
    version: str
    width: int
    created_at: datetime
    model_cutoff: datetime
    tags: list[str]
    served: CardServed | None
    online: bool
    data: CardData | None
    cutoffs: list[CardCutoff]
    blocks: list[CardBlock]
    scores: CardScores | None
    drift: list[Comparison]
    alignments: list[Alignment]
    limits: list[str]


_TITLES = {
    "limits": "What it does not know",
    "blocks": "Blocks",
    "cutoffs": "Cutoffs",
    "drift": "Drift",
    "scores": "Scores",
    "alignments": "Alignment",
    "data": "The data",
}


def render_card(card: Card) -> str:
    """Render the page of a card; equal input gives equal text."""
    contents: dict[str, Any] = dict(card)
    return (
        environment()
        .get_template("card.html.j2")
        .render(
            card=card,
            titles={key: title for key, title in _TITLES.items() if contents[key]},
            pictures=[comparison_picture(found).svg for found in card.drift],
        )
    )
