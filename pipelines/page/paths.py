"""The paths of the pages."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.page import picture
from pipelines.page.client import age, client_page
from pipelines.page.explained import explained
from pipelines.page.history import LEFT, LINE, WIDTH
from pipelines.page.versions import versions_page
from ubp_platform.errors import BadRequest, NotOnline, UBPError
from ubp_platform.events.integer_ids import integer_of
from ubp_platform.serving.guard import COOKIE, is_page, login
from ubp_platform.serving.reading import Reader
from ubp_platform.similar.searching import State
from ubp_platform.similar.words import share
from ubp_platform.store.entities import ClientId
from ubp_platform.store.retrieval import ProfileStore

_HERE = Path(__file__).parent
_KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


class Pages:
    """Renders the pages of a home.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._environment = Environment(
            loader=PackageLoader("pipelines.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["integer"] = "{:,}".format
        self._environment.filters["percent"] = share
        self._environment.filters["cosine"] = "{:.3f}".format
        self._environment.filters["day"] = lambda time: f"{time:%Y-%m-%d}" if time else "never"
        self._environment.filters["minute"] = "{:%Y-%m-%d %H:%M}".format
        self._environment.filters["segment"] = lambda value: quote(str(value), safe="")
        self._environment.filters["age"] = lambda time: age(time, datetime.now(UTC))

    def render(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template."""
        text = self._environment.get_template(f"{name}.html.j2").render(**values)
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})

    def client_id(self, store: ProfileStore, text: str) -> ClientId | None:
        """Return an id of the shop's kind; None if it is none."""
        return text if store.has_text_ids else integer_of(text)

    def state(self, store: ProfileStore) -> State | None:
        """Return the index of a version; None if there is none."""
        try:
            return store.similar_search.indexes.state()
        except UBPError:
            return None


def _page(function: Callable[[Pages, Request], Response]) -> Callable[[Request], Response]:
    """Show errors as a page, in one line."""

    def shown(request: Request) -> Response:
        pages: Pages = request.app.state.pages
        try:
            return function(pages, request)
        except NotOnline as error:
            return pages.render("error", 404, title="Not here", text=str(error))
        except BadRequest as error:
            return pages.render("error", 422, title="That cannot be", text=str(error))
        except UBPError as error:
            return pages.render("error", 503, title="Not now", text=str(error))

    return shown


def add_pages(app: FastAPI, reader: Reader) -> None:
    """Add the pages to a server."""
    app.state.pages = Pages(reader)
    routes: dict[str, Callable[[Pages, Request], Response]] = {
        "/": _start,
        "/clients": _find,
        "/clients/{client_id:path}": _client,
        "/explained": _explained,
        "/map.png": _map,
        "/near": _near,
        "/versions": _versions,
        "/report": _report,
        "/login": _login,
    }
    for path, function in routes.items():
        app.add_api_route(path, _page(function), include_in_schema=False, response_model=None)
    app.add_api_route(
        "/login", _logged_in, methods=["POST"], include_in_schema=False, response_model=None
    )
    app.add_api_route("/static/page/{name}", _static, include_in_schema=False, response_model=None)


def _static(name: str) -> Response:
    if name not in _STATIC:
        return Response(status_code=404)
    return FileResponse(_HERE / name, media_type=_STATIC[name])


def _start(pages: Pages, request: Request) -> Response:
    """Show the search for a client, and the map of all."""
    store = pages.reader.store()
    state = pages.state(store)
    publication = store.publication()
    if state is None:
        return pages.render("start", state=None, publication=publication, store=store)
    choices = picture.quantities(state.facts)
    colour = request.query_params.get("colour", "")
    colour = colour if colour in choices else next(iter(choices))
    _, key = picture.drawn(state, colour)
    return pages.render(
        "start",
        state=state,
        publication=publication,
        store=store,
        choices=choices,
        colour=colour,
        key=key,
        side=picture.SIDE,
        examples=_examples(state),
    )


def _examples(state: State) -> list[tuple[str, ClientId]]:
    """Return some clients to look at, and why."""
    facts, cutoff = state.facts, state.description.cutoff
    events, days = facts.numbers("events", cutoff), facts.numbers("last_days", cutoff)
    there = np.flatnonzero(facts.present)
    if events is None or days is None or not len(there):
        return []
    order = there[np.argsort(events[there], kind="stable")]
    seen = there[np.argsort(np.nan_to_num(days[there], nan=0), kind="stable")]
    places = {
        "most events": order[-1],
        "a usual number of events": order[len(order) // 2],
        "seen last": seen[0],
        "not seen for longest": seen[-1],
    }
    return [(why, facts.ids(np.array([slot]))[0]) for why, slot in places.items()]


def _find(pages: Pages, request: Request) -> Response:
    """Go to the page of the client who was asked for."""
    asked = request.query_params.get("client_id", "").strip()
    return RedirectResponse(f"/clients/{quote(asked, safe='')}" if asked else "/", 303)


def _client(pages: Pages, request: Request) -> Response:
    """Show a client."""
    asked = request.scope["path"].removeprefix("/clients/")
    store = pages.reader.store()
    client_id = pages.client_id(store, asked)
    page = None if client_id is None else client_page(pages.reader.home, store, client_id)
    if page is None:
        kind = "" if client_id is not None else " Ids of this shop are whole numbers."
        text = f"Client {asked[:80]} has no profile: no event is known of this id.{kind}"
        return pages.render("error", 404, title="Unknown client", text=text)
    state = pages.state(store)
    colour = next(iter(picture.quantities(state.facts).items())) if state else ("", "")
    key = picture.drawn(state, colour[0])[1] if state and page.point else None
    return pages.render(
        "client",
        page=page,
        side=picture.SIDE,
        colour=colour[0],
        key=key,
        colour_name=colour[1],
        left=LEFT,
        line=LINE,
        width=WIDTH,
        has_autoencoder=any(part.block.startswith("gru_ae") for part in store.version.parts),
    )


def _explained(pages: Pages, request: Request) -> Response:
    """Show what an autoencoder of the profile remembers of a client."""
    asked = request.query_params.get("client_id", "")
    store = pages.reader.store()
    client_id = pages.client_id(store, asked)
    cutoff = None if client_id is None else store.lookup(client_id).cutoff
    found = explained(pages.reader.home, store.version.name, asked, cutoff)
    return pages.render("explained", found=found, client_id=asked)


def _map(pages: Pages, request: Request) -> Response:
    """Draw the map."""
    state = pages.reader.store().similar_search.indexes.state()
    colour = request.query_params.get("colour", "")
    if colour not in picture.quantities(state.facts):
        raise BadRequest(f"the map cannot be coloured by {colour[:80]!r}")
    content, _ = picture.drawn(state, colour)
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


def _near(pages: Pages, request: Request) -> Response:
    """Go to the client who is nearest to a place on the map."""
    state = pages.reader.store().similar_search.indexes.state()
    try:
        x, y = (float(request.query_params[name]) for name in ("x", "y"))
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError
    except (KeyError, ValueError):
        raise BadRequest("x and y are numbers from 0 to 1") from None
    found = picture.nearest(state.facts, x, y)
    return RedirectResponse("/" if found is None else f"/clients/{quote(str(found), safe='')}", 303)


def _versions(pages: Pages, request: Request) -> Response:
    """Show the versions that are online."""
    return pages.render("versions", page=versions_page(pages.reader))


def _report(pages: Pages, request: Request) -> Response:
    """Show the report of the last evaluation."""
    path = pages.reader.home.report
    if not path.exists():
        raise NotOnline("there is no report: `ubp evaluate` writes one")
    return FileResponse(path, media_type="text/html", headers={"Cache-Control": "no-store"})


def _login(pages: Pages, request: Request) -> Response:
    """Ask for a key."""
    asked = request.query_params
    return pages.render("login", wrong="wrong" in asked, to=asked.get("to", "/"))


async def _logged_in(request: Request) -> Response:
    """Keep the key in a cookie, which scripts cannot read and other sites cannot send."""
    try:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        fields = {}
    secret, to = (fields.get(name, [""])[0].strip() for name in ("key", "to"))
    to = to if is_page(to.partition("?")[0]) else "/"  # and to no other site
    if not _KEY.fullmatch(secret):
        return RedirectResponse(login(True, to), 303)
    answer = RedirectResponse(to, 303)
    answer.set_cookie(
        COOKIE, secret, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return answer
