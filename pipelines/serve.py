"""``ubp serve``: profiles over HTTP."""

import ipaddress
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.serving.keys import NO_KEY_LEFT, Keys

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
        If others could read profiles without a key, or a certificate is missing.
    """
    home.require()
    for file in (address.certificate, address.private_key):
        if file and not file.is_file():
            raise UBPError(f"{file}: there is no such file")
    if (address.certificate is None) != (address.private_key is None):
        raise UBPError("--certificate and --private-key belong together: name both files")
    known = Keys.read_if_any(home)
    keys = known.keys if known else []
    if address.is_loopback:
        if keys:
            return [f"Asks for one of the keys {', '.join(key.name for key in keys)}"]
        if known:
            return [f"All keys are revoked, so nobody is answered: {NO_KEY_LEFT}"]
        return ["Asks for no key: any program on this machine may read profiles"]
    if not keys:
        raise UBPError(
            f"{address.host} can be reached from other machines, and there is no key: `ubp key "
            "create NAME` makes one, without which nobody is answered"
        )
    notes = [f"Asks for one of the keys {', '.join(key.name for key in keys)}"]
    if not address.certificate:
        notes.append(
            "Without --certificate keys and profiles travel unencrypted: put a proxy with TLS in "
            "front, or name a certificate"
        )
    return notes


def application() -> "Guard":
    """Make the application of a worker, which is another process if there are several."""
    from pipelines.console.output import log_to_stderr
    from ubp_platform.serving.app import OPTIONS, Options, create_app

    options = Options.model_validate_json(os.environ[OPTIONS])
    log_to_stderr(options.log_json)
    return create_app(options)


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
