"""The paths of the server that answer with similar clients."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field, StrictInt, StrictStr, model_validator

from ubp_platform.errors import BadRequest
from ubp_platform.serving.reading import Reader, SimilarQuestion
from ubp_platform.store.similar import MOST, SimilarClients

# Clients of a segment; numbers of a vector; filters and blocks of a question.
_SEGMENT, _NUMBERS, _PARTS = 1000, 20_000, 50

Count = Annotated[int, Field(ge=1, le=MOST, description="How many to find.")]
Filter = Annotated[str, Field(max_length=300)]
Version = Annotated[
    str | None,
    Query(max_length=100, description="A version that is online, or a tag; by default the served."),
]


class SimilarAnswer(BaseModel):
    """A client who is similar."""

    client_id: int | str
    similarity: Annotated[float, Field(description="The cosine of the profiles, from -1 to 1.")]
    last_event: datetime | None
    events: int
    categories: Annotated[list[str], Field(description="Favourites, the first one foremost.")]


class SimilarAnswers(BaseModel):
    """Clients who are similar, the most similar first; their order is of one publish."""

    version: str
    publish: str
    index_cutoff: Annotated[
        datetime, Field(description="The index knows profiles up to this cutoff.")
    ]
    blocks: Annotated[list[str], Field(description="Those that were compared; empty for all.")]
    similar: list[SimilarAnswer]


class SimilarTo(BaseModel, extra="forbid"):
    """Clients, whose mean direction is taken, or a vector."""

    client_ids: Annotated[list[StrictInt | StrictStr], Field(max_length=_SEGMENT)] = []
    vector: Annotated[
        list[float] | None,
        Field(max_length=_NUMBERS, description="Of the profile, or of the blocks."),
    ] = None
    k: Count = 10
    blocks: Annotated[
        list[str],
        Field(max_length=_PARTS, description="Compare these alone; others than all need an index."),
    ] = []
    filters: Annotated[
        list[Filter],
        Field(max_length=_PARTS, description="Conditions such as `buy_30d>=2`, `category=Tables`."),
    ] = []

    @model_validator(mode="after")
    def _one_of_two(self) -> "SimilarTo":
        if bool(self.client_ids) == (self.vector is not None):
            raise ValueError("name client_ids or a vector, one of the two")
        return self


def add_similar(app: FastAPI, reader: Reader, problems: dict[int | str, dict[str, Any]]) -> None:
    """Add the paths."""

    @app.get(
        "/v1/clients/{client_id:path}/similar",
        responses=problems,
        tags=["similar clients"],
    )
    def similar(
        client_id: str,
        request: Request,
        k: Annotated[int, Query(ge=1, le=MOST)] = 10,
        blocks: Annotated[str, Query(max_length=2000)] = "",
        filter: Annotated[list[Filter], Query(max_length=_PARTS)] = [],  # noqa: B006
        version: Version = None,
    ) -> SimilarAnswers:
        """Find the clients who are most similar to one."""
        _require_known(request, "k", "blocks", "filter", "version")
        names = [name.strip() for name in blocks.split(",") if name.strip()]
        return _answer(
            *reader.similar(SimilarQuestion([client_id], None, k, names, filter, version))
        )

    @app.post("/v1/similar", responses=problems, tags=["similar clients"])
    def similar_to(to: SimilarTo, request: Request, version: Version = None) -> SimilarAnswers:
        """Find the clients who are most similar to several clients, or to a vector."""
        _require_known(request, "version")
        question = SimilarQuestion(to.client_ids, to.vector, to.k, to.blocks, to.filters, version)
        return _answer(*reader.similar(question))


def _require_known(request: Request, *names: str) -> None:
    """Refuse parameters that would be overlooked, such as ``filters`` for ``filter``."""
    for name in request.query_params:
        if name not in names:
            raise BadRequest(f"there is no parameter {name[:80]!r}; there are {', '.join(names)}")


def _answer(version: str, found: SimilarClients) -> SimilarAnswers:
    return SimilarAnswers(
        version=version,
        publish=found.publication.publish,
        index_cutoff=found.index_cutoff,
        blocks=found.by,
        similar=[
            SimilarAnswer(
                client_id=one.client.client_id,
                similarity=one.similarity,
                last_event=one.client.last_event,
                events=one.client.events,
                categories=one.client.categories,
            )
            for one in found.neighbours
        ],
    )
