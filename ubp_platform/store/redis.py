"""Specifics of Redis: its connection string, retries and error messages."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager

from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from feast.infra.provider import Provider
from feast.repo_config import RepoConfig
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

from ubp_platform.errors import StoreUnavailable, UBPError, first_line
from ubp_platform.store.feast_internals import redis_client, redis_options

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


def prepare(provider: Provider, config: RepoConfig) -> None:
    """Check the connection string and limit the client's retries; nothing is sent.

    Raises
    ------
    UBPError
        If the connection string has another form or unknown options.
    """
    online = config.online_store
    describe_server(online.connection_string)
    if online.redis_type != RedisType.redis:
        return  # clients of a cluster or sentinel wait for a new master with reason
    _, options = redis_options(online.connection_string)
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
    redis_client(provider, config).set_retry(retry)


def evicts(provider: Provider, config: RepoConfig) -> str:
    """Return the policy by which a full Redis drops profiles; empty if it does not.

    A server that does not say, as managed ones, is believed not to.
    """
    try:
        client = redis_client(provider, config)
        limit = int(client.config_get("maxmemory").get("maxmemory", 0))
        policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy", ""))
    except RedisError:
        return ""
    return policy if limit and policy.startswith("allkeys") else ""


@contextmanager
def one_line_errors_of_redis(online: RedisOnlineStoreConfig) -> Iterator[None]:
    """Turn errors of Redis's client into one line.

    Raises
    ------
    StoreUnavailable
        Names the server.
    """
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        # A pipeline repeats the command, with the raw bytes of profiles.
        said = first_line(error).rpartition("of pipeline caused error: ")[2].rstrip(".?")
        line = f"{describe_server(online.connection_string)}: {said}"
        raise StoreUnavailable(line + _advice(error, online)) from None


def _advice(error: Exception, online: RedisOnlineStoreConfig) -> str:
    """Suggest a way out of an error, unless it is the server's answer to a command."""
    if isinstance(error, AuthenticationError):
        return (
            "; the server is running, but rejects this login: check username and password in "
            f"UBP_REDIS ({_FORM})"
        )
    if "maxmemory" in str(error):
        return (
            "; it is full: raise its maxmemory, or remove old publishes with `ubp prune`. Profiles "
            "that were served are served on"
        )
    if not isinstance(error, ConnectionError | TimeoutError | RedisClusterException):
        return ""
    _, options = redis_options(online.connection_string)
    if options.get("ssl"):
        return (
            "; UBP_REDIS asks for TLS (ssl): is the server running, does it use TLS on this port, "
            "and is its certificate trusted (ssl_ca_certs=FILE)?"
        )
    return f"; is it running, and is UBP_REDIS ({_FORM}) right?"
