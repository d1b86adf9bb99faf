"""A client of ``ubp serve``, for services that have no home: numpy arrays over HTTP.

>>> from ubp_platform.client import Profiles                          # doctest: +SKIP
>>> profiles = Profiles("http://127.0.0.1:8000", key="ubp_…")         # doctest: +SKIP
>>> profiles.get("user_00017").vector.shape                           # doctest: +SKIP
(531,)
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import numpy as np

_MOST = 1000
_NUMBERS = {"Accept": "application/octet-stream"}
_AGAIN = (429, 503)


class Found(NamedTuple):
    """Profiles of one publish: ``vectors`` (n, width) float32, ``known`` (n,) bool."""

    vectors: np.ndarray
    known: np.ndarray
    version: str
    publish: str

    @property
    def vector(self) -> np.ndarray:
        """The first one."""
        return np.asarray(self.vectors[0])


class Profiles:
    """Looks profiles up; may be shared by threads.

    Parameters
    ----------
    url : str
    key : str, optional
    tries : int
        How often it asks a server that does not answer, is busy, or has published meanwhile.
    **options
        Of the question (``version``, ``blocks``).
    """

    def __init__(self, url: str, key: str | None = None, tries: int = 4, **options: str) -> None:
        headers = _NUMBERS | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = httpx2.Client(base_url=url, headers=headers, params=options, timeout=10)
        self._tries = tries

    def get(self, client_id: int | str) -> Found:
        """Look one client up; a stranger has the mean profile.

        Raises
        ------
        httpx2.HTTPError
            If the server does not answer, or refuses: its message says why.
        """
        return self._found(self._ask("GET", f"/v1/profiles/{quote(str(client_id), safe='')}"))

    def get_many(self, client_ids: Sequence[int | str]) -> Found:
        """Look clients up, in their order, all of one publish; raises as :meth:`get`."""
        parts = [list(client_ids[at : at + _MOST]) for at in range(0, len(client_ids), _MOST)]
        for _ in range(self._tries):
            found = [
                self._found(self._ask("POST", "/v1/profiles", json={"client_ids": part}))
                for part in parts or [[]]
            ]
            if len({one[2:] for one in found}) == 1:
                vectors, known, *_ = zip(*found, strict=True)
                return Found(np.concatenate(vectors), np.concatenate(known), *found[0][2:])
        raise httpx2.HTTPError("profiles were published with each try: ask for fewer at once")

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        for left in reversed(range(self._tries)):
            wait = 0.2
            try:
                answer = self._http.request(method, path, **options)
                if answer.status_code not in _AGAIN or not left:
                    break
                wait = float(answer.headers.get("Retry-After", wait))
            except httpx2.TransportError:
                if not left:
                    raise
            time.sleep(wait)
        if answer.is_error:
            said = f"{answer.status_code}: {answer.text[:300]}"
            raise httpx2.HTTPStatusError(said, request=answer.request, response=answer)
        return answer

    @staticmethod
    def _found(answer: httpx2.Response) -> Found:
        width = int(answer.headers["X-UBP-Width"])
        vectors = np.frombuffer(answer.content, "<f4").reshape(-1, width).copy()
        known = [one in "1t" for one in answer.headers["X-UBP-Known"][: len(vectors)]]
        version, publish = (answer.headers[f"X-UBP-{name}"] for name in ("Version", "Publish"))
        return Found(vectors, np.array(known), version, publish)
