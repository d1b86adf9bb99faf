"""Specifics of Redis: its connection string, retries and error messages."""

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
    """Describe the server of a connection string without its secrets.

    Parameters
    ----------
    connection_string : str
        In Feast's form: ``host:port``, then options, separated by commas.

    Raises
    ------
    UBPError
        If it has another form.

    Examples
    --------
    >>> describe_server("cache.shop:6379,password=hush,db=2")
    'Redis at cache.shop:6379, db 2'
    """
    parts = connection_string.split(",")
    hosts = [part for part in parts if "=" not in part]
    ports = [re.fullmatch(r"[^\s:/@]+:(\d{1,5})", host) for host in hosts]
    if not hosts or not all(port and 0 < int(port[1]) < 2**16 for port in ports):
        # The message does not quote the part: it may belong to a password.
        raise UBPError(
            f"{_WHERE} is not of the form {_FORM}: a host has a port from 1 to 65535, such as "
            "localhost:6379, and a password contains no comma"
        )
    databases = [f", db {part[3:]}" for part in parts if part.startswith("db=")]
    return f"Redis at {', '.join(hosts)}{''.join(databases[-1:])}"


def prepare(store: RedisOnlineStore, online: RedisOnlineStoreConfig) -> None:
    """Check the connection string and limit the client's retries; nothing is sent.

    Raises
    ------
    UBPError
        If the connection string has another form or unknown options.
    """
    describe_server(online.connection_string)
    if online.redis_type != RedisType.redis:
        return  # clients of a cluster or sentinel wait for a new master with reason
    _, options = store._parse_connection_string(online.connection_string)
    if unknown := options.keys() - inspect.signature(Redis).parameters.keys():
        raise UBPError(
            f"{_WHERE} has an unknown option {min(unknown)!r}; usual ones are username, password, "
            "db, ssl"
        )
    for name in _NUMBERS:
        if isinstance(options.get(name), str):
            raise UBPError(f"{_WHERE}: {name} is a number, not {options[name]!r}")
    # By default it retries for up to half a minute, and longer if the server hangs.
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.05), 3, supported_errors=(ConnectionError,))
    store._get_client(online).set_retry(retry)


@contextmanager
def one_line_errors_of_redis(online: RedisOnlineStoreConfig) -> Iterator[None]:
    """Turn errors of Redis's client into one line.

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
    """Suggest a way out of an error, unless it is the server's answer to a command."""
    if isinstance(error, AuthenticationError):
        return (
            "; the server is running, but rejects this login: check username and password in "
            f"UBP_REDIS ({_FORM})"
        )
    if not isinstance(error, ConnectionError | TimeoutError | RedisClusterException):
        return ""
    _, options = RedisOnlineStore._parse_connection_string(online.connection_string)
    if options.get("ssl"):
        return (
            "; UBP_REDIS asks for TLS (ssl): is the server running, does it use TLS on this port, "
            "and is its certificate trusted (ssl_ca_certs=FILE)?"
        )
    return f"; is it running, and is UBP_REDIS ({_FORM}) right?"
