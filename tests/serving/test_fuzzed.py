"""Whatever is sent to the paths of the OpenAPI document, the answer is one that it describes."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.running import Running

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/profiles/{client_id}"),
        ("POST", "/v1/profiles"),
        ("GET", "/v1/clients/{client_id}/similar"),
        ("POST", "/v1/similar"),
        ("GET", "/v1/versions"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    ],
)
def test_answers_are_as_described(server: Running, method: str, path: str) -> None:
    base = f"http://127.0.0.1:{server.port}"
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")

    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[*HealthCheck],
    )
    def check(case: schemathesis.Case) -> None:
        case.validate_response(case.call(base_url=base), checks=CHECKS)

    check()


def test_every_path_is_tried(server: Running) -> None:
    described = server.ask("/openapi.json").json["paths"]
    tried = next(
        mark.args[1]
        for mark in test_answers_are_as_described.pytestmark
        if mark.name == "parametrize"
    )
    assert {(method, path) for method, path in tried} == {
        (method.upper(), path) for path, methods in described.items() for method in methods
    }
