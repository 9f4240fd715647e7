"""A client that knows nothing but the document at the root: it sends what that allows, and what it does not.

Whatever it sends, the answer is one of those that the document promises.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.data_tables import STATEMENTS
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tidewire.postgres.embedded import EmbeddedPostgres

PROMISES: Final = [not_a_server_error, status_code_conformance, response_headers_conformance]
PROMISES_OF_BODIES: Final = [*PROMISES, content_type_conformance, response_schema_conformance]
"""What is written is answered without a body, unless the client asks for it."""
TABLES: Final = ("clients", "projects", "members", "trips", "half", '"odd ""%s {0} table"')
"""What is described and asked for; the others have no grants."""
FEW: Final = ("/clients", "/half", "/odd%20%22%25s%20%7B0%7D%20table", "/rpc/add", "/rpc/pairs", "/rpc/touch")
"""The paths of the short form."""
LIMIT_S: Final = 10.0


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            *STATEMENTS,
            "create table half (id int primary key, seen varchar(5), hidden text)",
            *(f"grant all on {table} to authenticated" for table in TABLES if table != "half"),
            "grant select (id, seen), insert (id), update (seen) on half to authenticated",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, api_max_rows=20, accounts=False) as running:
        yield running


@pytest.fixture(scope="module")
def described(served: RealtimeServer) -> Any:
    answer = request("GET", f"{served.url}/rest/v1/", headers={"apikey": token("authenticated")})
    return schemathesis.openapi.from_dict(answer.json)


def send(served: RealtimeServer, described: Any, mode: GenerationMode, examples: int) -> int:
    """Try every operation with so many requests, the same ones each time. Return how many operations there are."""
    operations = [each.ok() for each in described.get_all_operations()]
    key = {"authorization": f"Bearer {token('authenticated')}"}
    with requests.Session() as session:
        for operation in operations:

            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def check(case: Case[Any]) -> None:
                response = case.call(base_url=f"{served.url}/rest/v1", session=session, headers=key, timeout=LIMIT_S)
                case.validate_response(response, checks=PROMISES_OF_BODIES if response.content else PROMISES)

            check()
    return len(operations)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda each: each.value)
def test_answers_are_as_described(served: RealtimeServer, described: Any, mode: GenerationMode) -> None:
    assert send(served, described.include(path=list(FEW)), mode, examples=4) >= 2 * len(FEW)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda each: each.value)
def test_many_answers_are_as_described(served: RealtimeServer, described: Any, mode: GenerationMode) -> None:
    assert send(served, described, mode, examples=40 if mode is GenerationMode.POSITIVE else 20) > 30
