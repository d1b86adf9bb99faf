"""What is Redis's own: which server it is, how long to try, and what is said of its errors."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, RedisType
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    RedisClusterException,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry

from ubp_platform.errors import UBPError, first_line

_FORM = "host:port,password=…,db=0"
_WHERE = "the connection to Redis (UBP_REDIS)"
_NUMBERS = ("db", "socket_connect_timeout", "socket_timeout")


def describe_server(connection_string: str) -> str:
    """Name the server of a connection string, and nothing of it that is secret.

    Parameters
    ----------
    connection_string : str
        In Feast's form: ``host:port``, then options, with commas between them.

    Returns
    -------
    str

    Raises
    ------
    UBPError
        If it is of another form.

    Examples
    --------
    >>> describe_server("cache.shop:6379,password=hush,db=2")
    'Redis at cache.shop:6379, db 2'
    """
    parts = connection_string.split(",")
    hosts = [part for part in parts if "=" not in part]
    ports = [re.fullmatch(r"[^\s:/@]+:(\d{1,5})", host) for host in hosts]
    if not hosts or not all(port and 0 < int(port[1]) < 2**16 for port in ports):
        # Which one is not said: it may be a piece of a password.
        raise UBPError(
            f"{_WHERE} is not of the form {_FORM}: a host has a port from 1 to 65535, such as "
            "localhost:6379, and a password has no comma"
        )
    databases = [f", db {part[3:]}" for part in parts if part.startswith("db=")]
    return f"Redis at {', '.join(hosts)}{''.join(databases[-1:])}"


def prepare(store: RedisOnlineStore, online: RedisOnlineStoreConfig) -> None:
    """Check the connection's description, and have its client give up soon; nothing is sent.

    Raises
    ------
    UBPError
        If the connection string is of another form or has unknown options.
    """
    describe_server(online.connection_string)
    if online.redis_type != RedisType.redis:
        return  # A cluster's or sentinel's clients have patience with reason: for a new master.
    _, options = store._parse_connection_string(online.connection_string)
    if unknown := options.keys() - inspect.signature(Redis).parameters.keys():
        raise UBPError(
            f"{_WHERE} has an option that there is not: {min(unknown)!r}; usual ones are username, "
            "password, db, ssl"
        )
    for name in _NUMBERS:
        if isinstance(options.get(name), str):
            raise UBPError(f"{_WHERE}: {name} is a number, not {options[name]!r}")
    # Of its own it tries for up to half a minute, and longer at a server that hangs.
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.05), 3, supported_errors=(ConnectionError,))
    store._get_client(online).set_retry(retry)


@contextmanager
def one_line_errors_of_redis(online: RedisOnlineStoreConfig) -> Iterator[None]:
    """Say in one line what Redis's client raises.

    Raises
    ------
    UBPError
        Names the server.
    """
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        line = f"{describe_server(online.connection_string)}: {first_line(error).rstrip('.?')}"
        raise UBPError(line + _advice(error, online)) from None


def _advice(error: Exception, online: RedisOnlineStoreConfig) -> str:
    """Say what to do about an error that is not the server's answer to a command."""
    if isinstance(error, AuthenticationError):
        return (
            "; it is running, but refuses this login: are username and password in UBP_REDIS "
            f"({_FORM}) right, or missing?"
        )
    if not isinstance(error, ConnectionError | TimeoutError | RedisClusterException):
        return ""
    _, options = RedisOnlineStore._parse_connection_string(online.connection_string)
    if options.get("ssl"):
        return (
            "; UBP_REDIS asks for TLS (ssl): is it running, does it speak TLS on this port, and is "
            "its certificate trusted (ssl_ca_certs=FILE)?"
        )
    return f"; is it running, and is UBP_REDIS ({_FORM}) right?"
