"""The paths of the server."""

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StrictInt, StrictStr, ValidationError

from ubp_platform.errors import BadRequest, NoIndex, NotOnline, StoreUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.serving import answers
from ubp_platform.serving.guard import FAILED, Guard
from ubp_platform.serving.metrics import Metrics
from ubp_platform.serving.readiness import Readiness
from ubp_platform.serving.reading import Reader, Reading
from ubp_platform.serving.similar_paths import add_similar
from ubp_platform.serving.together import Together

#: Clients of one request.
MOST_CLIENTS = 1000
#: Seconds after which a client may ask again that a store did not answer.
RETRY_SECONDS = 1
#: The variable by which workers learn their options.
OPTIONS = "UBP_SERVE"


class Options(BaseModel):
    """How a server is run; workers read it from the environment.

    Parameters
    ----------
    home : Path
    hosts : list of str
        Host names under which it may be asked; empty for any.
    require_key : bool
    workers : int
    log_ids, log_json : bool
    """

    home: Path
    hosts: list[str] = []
    require_key: bool = False
    workers: int = 1
    log_ids: bool = False
    log_json: bool = False


class BlockWidth(BaseModel):
    """A block and the number of its columns."""

    block: str
    width: int


class ProfileAnswer(BaseModel):
    """A client's profile."""

    client_id: int | str
    known: Annotated[
        bool, Field(description="False for strangers, who have the mean profile of all clients.")
    ]
    cutoff: Annotated[
        datetime | None, Field(description="The profile knows the events before this time.")
    ]
    age_seconds: Annotated[int | None, Field(description="Time since the cutoff.")]
    vector: list[float]


class Origin(BaseModel):
    """Which publish of which version an answer is of."""

    version: str
    publish: str
    blocks: Annotated[
        list[BlockWidth], Field(description="The blocks of the vector, in their order.")
    ]


class OneProfile(Origin, ProfileAnswer):
    """The profile of one client."""


class ManyProfiles(Origin):
    """The profiles of several clients: all of one publish, in the order of the question."""

    profiles: list[ProfileAnswer]


class Clients(BaseModel, extra="forbid"):
    """The clients to look up."""

    client_ids: Annotated[list[StrictInt | StrictStr], Field(min_length=1, max_length=MOST_CLIENTS)]


class VersionAnswer(BaseModel):
    """A version that is online."""

    version: str
    served: Annotated[bool, Field(description="Whether it is the one that is read by default.")]
    cutoff: datetime
    created_at: datetime
    models_know_until: datetime
    width: int
    blocks: list[BlockWidth]
    tags: list[str]
    aligned_to: str | None


class Detail(BaseModel):
    """What was wrong."""

    detail: str


class Ready(BaseModel):
    """The store answers, and has the served version."""

    status: Literal["ready"] = "ready"


class Alive(BaseModel):
    """The server runs."""

    status: Literal["alive"] = "alive"


class Question(BaseModel, extra="forbid"):
    """What a question about profiles may say in its URL.

    FastAPI takes longer to find the parameters of a function than a lookup does, so that these are
    read here, and described to it.
    """

    version: Annotated[
        str | None,
        Field(
            description="A version that is online, such as `v1` or `v2@v1`, or a tag. By default "
            "the one that is served.",
            max_length=100,
        ),
    ] = None
    blocks: Annotated[
        str | None,
        Field(
            description="Only these blocks, separated by commas; in the order of the profile.",
            max_length=2000,
        ),
    ] = None

    @property
    def names(self) -> list[str]:
        """The names of the blocks."""
        return [name.strip() for name in (self.blocks or "").split(",") if name.strip()]


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Detail, "description": about}
    for status, about in {
        400: "The request cannot be read.",
        401: "A key is needed.",
        403: "The key has not this scope.",
        404: "No such version is online.",
        406: "None of the media types that the client accepts.",
        413: "The body is too large.",
        422: "The request has a value that cannot be.",
        429: "More requests than the key allows.",
        503: "The online store does not answer, or nothing was published.",
    }.items()
}
_NUMBERS = {
    answers.NUMBERS: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "float32, little-endian, a client after the other; the headers "
            "X-UBP-Version, -Publish, -Width and -Known say more.",
        }
    },
    answers.ARROW: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "A stream of Arrow: client_id, known, cutoff, vector.",
        }
    },
}
_CLIENT_ID = {
    "name": "client_id",
    "in": "path",
    "required": True,
    "description": "As the shop writes it.",
    "schema": {"type": "string"},
}
_QUESTION = [
    {"name": name, "in": "query", "schema": schema, "description": schema.get("description", "")}
    for name, schema in Question.model_json_schema()["properties"].items()
]
_DEFAULT = Question()
_ONE = "/v1/profiles/{client_id:path}"
# Clients of a request that are looked up without a thread of its own.
_AT_ONCE = 20
_ABOUT = """
Universal behavioral profiles: one vector per client.

    curl http://127.0.0.1:8000/v1/profiles/1228

Where the server demands a key: `Authorization: Bearer KEY`.
"""


def create_app(
    options: Options, add_pages: Callable[[FastAPI, Reader], None] | None = None
) -> Guard:
    """Make the application.

    Parameters
    ----------
    options : Options
    add_pages : callable, optional
        Adds the pages for people.

    Raises
    ------
    UBPError
        If the home is of a newer release.
    """
    home = Home(home=options.home)
    home.check()
    reader = Reader(home)
    metrics = Metrics(reader, shared=options.workers > 1)
    app = FastAPI(
        title="UBP",
        description=_ABOUT,
        version=metadata.version("ubp-platform"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_errors(app)
    _add_profiles(app, reader, metrics)
    add_similar(app, reader, _PROBLEMS)
    _add_state(app, reader, metrics)
    _add_docs(app)
    if add_pages:
        add_pages(app, reader)
    return Guard(
        app,
        reader,
        metrics,
        options.hosts,
        require_key=options.require_key,
        workers=options.workers,
        log_ids=options.log_ids,
    )


def _add_profiles(app: FastAPI, reader: Reader, metrics: Metrics) -> None:
    together = Together(reader.read)

    async def look_up(ids: Sequence[int | str], request: Request) -> tuple[Reading, str]:
        media = answers.chosen(request.headers.get("accept", ""))
        if media is None:
            raise HTTPException(406, f"there are {', '.join(answers.MEDIA_TYPES)}")
        question = _DEFAULT
        if request.query_params:
            question = Question.model_validate(dict(request.query_params))
        asked = (ids, question.version, question.names)
        if len(ids) > _AT_ONCE:
            found = await run_in_threadpool(reader.read, *asked)
        elif reader.reads_a_file:  # a thread takes longer to begin than a file takes to answer
            found = reader.read(*asked)
        else:
            reader.check(*asked)
            found = await together.read(*asked)
        known = sum(one.known for one in found.profiles)
        metrics.count_profiles(known, len(found.profiles) - known)
        return found, media

    @app.get(
        _ONE,
        response_model=OneProfile,
        responses={200: {"content": _NUMBERS}, **_PROBLEMS},
        openapi_extra={"parameters": [_CLIENT_ID, *_QUESTION]},
        tags=["profiles"],
    )
    async def profile(request: Request) -> Response:
        """Look one client up."""
        request.scope["route"] = described  # for the metrics
        # As it is: a route's pattern leaves a line's end out.
        client_id = request.scope["path"].removeprefix("/v1/profiles/")
        return _response(answers.one_profile(*await look_up([client_id], request)))

    # FastAPI describes this path; its way to the function takes longer than the lookup.
    described = app.routes[-1]
    app.add_route(_ONE, profile, methods=["GET"], include_in_schema=False)
    app.routes.insert(0, app.routes.pop())

    @app.post(
        "/v1/profiles",
        response_model=ManyProfiles,
        responses={200: {"content": _NUMBERS}, **_PROBLEMS},
        openapi_extra={"parameters": _QUESTION},
        tags=["profiles"],
    )
    async def profiles(clients: Clients, request: Request) -> Response:
        """Look several clients up; the answer is of one publish."""
        found, media = await look_up(clients.client_ids, request)
        return _response(await run_in_threadpool(answers.many_profiles, found, media))


def _add_state(app: FastAPI, reader: Reader, metrics: Metrics) -> None:
    @app.get("/v1/versions", responses=_PROBLEMS, tags=["state"])
    def versions() -> list[VersionAnswer]:
        """List the versions that are online."""
        return [VersionAnswer.model_validate(one) for one in reader.versions()]

    @app.get("/healthz", tags=["state"])
    async def healthz() -> Alive:
        """Say that the server runs, whatever the store does."""
        return Alive()

    ready = Readiness(reader)

    @app.get("/readyz", responses={503: _PROBLEMS[503]}, tags=["state"])
    async def readyz() -> Ready:
        """Say whether the store answers, and has the served version; the log says why not."""
        if not await ready.ask():
            raise HTTPException(503, "not ready: the server's log says why")
        return Ready()

    @app.get("/metrics", response_class=PlainTextResponse, responses=_PROBLEMS, tags=["state"])
    def prometheus() -> Response:
        """Metrics for Prometheus."""
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")


def _add_docs(app: FastAPI) -> None:
    """Serve Swagger UI from an installed package: nothing is loaded from elsewhere."""
    package = find_spec("fastapi_offline")
    assert package and package.origin  # noqa: S101 - declared, beside FastAPI
    app.mount("/static/docs", StaticFiles(directory=Path(package.origin).with_name("static")))
    page = (Path(__file__).parent / "docs.html").read_text("utf-8")
    script = (Path(__file__).parent / "docs.js").read_text("utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/static/docs.js", include_in_schema=False)
    async def docs_script() -> Response:
        return Response(script, media_type="text/javascript")

    schema = app.openapi()
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{}, {"key": []}]


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UBPError)
    async def explained(request: Request, error: UBPError) -> JSONResponse:
        status, headers = 503, {"Retry-After": str(RETRY_SECONDS)}
        if isinstance(error, BadRequest):
            status, headers = 422, {}
        elif isinstance(error, NoIndex) or (
            isinstance(error, NotOnline) and "version" in request.query_params
        ):
            status, headers = 404, {}
        elif not isinstance(error, StoreUnavailable | NotOnline):
            headers = {}
        return JSONResponse({"detail": str(error)}, status, headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": FAILED}, 500)

    @app.exception_handler(ValidationError)
    @app.exception_handler(RequestValidationError)
    async def invalid(
        request: Request, error: RequestValidationError | ValidationError
    ) -> JSONResponse:
        first = error.errors()[0]
        if first["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
            return JSONResponse(
                {"detail": "send the body with Content-Type: application/json"}, 422
            )
        where = ".".join(map(str, first["loc"]))
        return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)


def _response(answer: answers.Answer) -> Response:
    body, media, headers = answer
    return Response(body, media_type=media, headers={**headers, "Vary": "Accept"})
