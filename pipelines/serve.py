"""``ubp serve``: profiles over HTTP."""

import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.serving.keys import NO_KEY_LEFT, Keys
from ubp_platform.store.served import Served

if TYPE_CHECKING:
    from ubp_platform.serving.guard import Guard

#: Connections of one worker.
_CONNECTIONS = 1000
#: Seconds that an idle connection stays open.
_IDLE_SECONDS = 30
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
#: Seconds that requests have to end when the server is stopped.
_STOP_SECONDS = 10


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Parameters
    ----------
    host : str
    port : int
    certificate, private_key : Path, optional
        PEM files; without them it speaks plain HTTP.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"{'https' if self.certificate else 'http'}://{self.name}:{self.port}"

    @property
    def name(self) -> str:
        """The host as it is written in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def check(home: Home, address: Address) -> list[str]:
    """Check that a server may run; return what its owner should know.

    Raises
    ------
    UBPError
        If others could read profiles without a key, a certificate is missing or none, or the port
        is taken.
    """
    home.require()
    for file in (address.certificate, address.private_key):
        if file and not file.is_file():
            raise UBPError(f"{file}: there is no such file")
    if (address.certificate is None) != (address.private_key is None):
        raise UBPError("--certificate and --private-key belong together: name both files")
    known = Keys.read_if_any(home)
    if not (address.is_loopback or (known and known.keys)):
        raise UBPError(
            f"{address.host} can be reached from other machines, and there is no key: `ubp key "
            "create NAME` makes one, without which nobody is answered"
        )
    _require_usable(address)
    return [*_notes(home, address, known)]


def _notes(home: Home, address: Address, known: Keys | None) -> Iterator[str]:
    """Say what the owner of a server should know."""
    if not Served.read_if_whole(home):
        yield "Nothing is published yet, so that profiles are answered with 503: `ubp publish`"
    if known is None:
        yield "Asks for no key: any program on this machine may read profiles and histories"
    elif not known.keys:
        yield f"All keys are revoked, so nobody is answered: {NO_KEY_LEFT}"
    else:
        yield f"Asks for one of the keys {', '.join(key.name for key in known.keys)}"
    if not address.is_loopback and not address.certificate:
        yield (
            "Without --certificate keys and profiles travel unencrypted: put a proxy with TLS in "
            "front, or name a certificate"
        )


def _require_usable(address: Address) -> None:
    """Check the certificate, and that nobody else listens there."""
    if address.certificate:
        try:
            ssl.create_default_context().load_cert_chain(address.certificate, address.private_key)
        except (ssl.SSLError, ValueError) as error:
            raise UBPError(
                f"{address.certificate} and {address.private_key} are no certificate with its key "
                f"in PEM form: {error}"
            ) from None
    try:
        family, *_ = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        socket.create_server((address.host, address.port), family=family).close()
    except OSError as error:
        raise UBPError(
            f"cannot listen on {address.name}:{address.port} ({error.strerror}): choose another "
            "--host or --port"
        ) from None


def application() -> "Guard":
    """Make the application of a worker, which is another process if there are several."""
    from pipelines.console.output import log_to_stderr
    from pipelines.page.paths import add_pages
    from ubp_platform.serving.app import OPTIONS, Options, create_app

    options = Options.model_validate_json(os.environ[OPTIONS])
    log_to_stderr(options.log_json)
    return create_app(options, add_pages)


def serve(
    home: Home,
    address: Address,
    workers: int = 1,
    *,
    log_ids: bool = False,
    log_json: bool = False,
) -> None:
    """Serve until the process is told to stop; see :func:`check`."""
    import uvicorn

    from ubp_platform.serving.app import OPTIONS, Options

    options = Options(
        home=home.root.absolute(),
        hosts=[*_LOOPBACK, address.name] if address.is_loopback else [],
        require_key=not address.is_loopback,
        workers=workers,
        log_ids=log_ids,
        log_json=log_json,
    )
    os.environ[OPTIONS] = options.model_dump_json()
    with tempfile.TemporaryDirectory(prefix="ubp-metrics-") as directory:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        uvicorn.run(
            "pipelines.serve:application",
            factory=True,
            host=address.host,
            port=address.port,
            workers=workers,
            http="ubp_platform.serving.connection:GuardedProtocol",
            ws="none",
            ssl_certfile=address.certificate,
            ssl_keyfile=address.private_key,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
        )
