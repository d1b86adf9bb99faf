"""What is Redis's own: which server it is, how long to try, and what is said of its errors."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, RedisType
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, RedisClusterException, RedisError, TimeoutError
from redis.retry import Retry

from ubp_platform.errors import UBPError, first_line

_FORM = "host:port,password=…,db=0"


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
    ports = [re.fullmatch(r"[^\s:/@]+:(\d+)", host) for host in hosts]
    if not hosts or not all(port and int(port[1]) < 2**16 for port in ports):
        raise UBPError(f"the connection to Redis (UBP_REDIS) is not of the form {_FORM}")
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
    if not options.keys() <= inspect.signature(Redis).parameters.keys():
        raise UBPError(
            "the connection to Redis (UBP_REDIS) has an option that there is not; usual ones are "
            "username, password, db, ssl"
        )
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
        line = f"{describe_server(online.connection_string)}: {first_line(error).rstrip('.')}"
        if isinstance(error, ConnectionError | TimeoutError | RedisClusterException):
            line += f"; is it running, and is UBP_REDIS ({_FORM}) right?"
        raise UBPError(line) from None
