"""`ubp serve` itself, with one worker and with two."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipelines.job import LATER
from tests.serving.running import Running
from tests.store.redis_server import free_port
from ubp_platform.home import Home

ROOT = Path(__file__).parents[2]


@contextmanager
def command(home: Home, *options: str) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    """Run the command until it answers; end it by Ctrl-C."""
    port = free_port()
    line = [sys.executable, str(ROOT / "cli.py"), "serve", "--port", str(port), *options]
    environment = {**os.environ, "UBP_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    program = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    server = Running(port)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                server.ask("/healthz")
                break
            except ConnectionError:
                assert program.poll() is None and time.monotonic() < until, program.communicate()
                time.sleep(0.2)
        yield server, program
    finally:
        program.send_signal(signal.SIGINT)
        try:
            program.wait(60)
        finally:
            program.kill()


@pytest.fixture(scope="module", params=["1", "2"])
def outcome(published: Home, request: pytest.FixtureRequest) -> tuple[str, str, int]:
    """What workers said of themselves, and what they had counted."""
    with command(published, "--workers", request.param) as (server, program):
        for _ in range(10):
            server.ask("/v1/profiles", {"client_ids": [1, 2, 999_999]})
        server.ask("/v1/profiles/abc")
        server.ask("/wp-admin")
        metrics = server.ask("/metrics").body.decode()
    return program.communicate()[0], metrics, program.returncode


@pytest.mark.parametrize(
    "line",
    [
        'ubp_requests_total{method="POST",path="/v1/profiles",status="200"} 10.0',
        'ubp_requests_total{method="GET",path="/v1/profiles/{client_id}",status="422"} 1.0',
        'ubp_requests_total{method="GET",path="other",status="404"} 1.0',
        'ubp_request_seconds_bucket{le="+Inf",path="/v1/profiles"} 10.0',
        'ubp_profiles_total{known="true"} 20.0',
        'ubp_profiles_total{known="false"} 10.0',
        "ubp_served_clients 80.0",
        'ubp_served_version{version="v2"} 1.0',
    ],
)
def test_what_workers_count_is_added_up(outcome: tuple[str, str, int], line: str) -> None:
    assert line in outcome[1].splitlines()


def test_the_time_of_the_newest_event_is_told(outcome: tuple[str, str, int]) -> None:
    (line,) = [one for one in outcome[1].splitlines() if one.startswith("ubp_served_cutoff_sec")]
    assert float(line.split()[1]) == LATER.timestamp()


def test_what_it_says_and_how_it_ends(outcome: tuple[str, str, int]) -> None:
    said, _, code = outcome
    assert "Asks for no key: any program on this machine may read profiles" in said
    assert "Traceback" not in said
    assert said.count("POST /v1/profiles 200") == 10
    assert code in (0, 130)
