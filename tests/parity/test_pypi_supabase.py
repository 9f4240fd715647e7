"""PyPI's `supabase` as an application uses it: accounts, administration, data, and row changes once it is signed in."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.parity.clients import anon_key
from tests.parity.installed import install_pypi_client
from tests.parity.serving import TidewireServer, token
from tests.support.log import execute

SCRIPT = Path(__file__).parent / "pypi" / "application.py"
LIMIT_S = 60.0
ROLES = "anon, authenticated"
SCHEMA = (
    "create table py_bookings (id int primary key, status text, price int, owner uuid default auth.uid())",
    "create table py_items (id int primary key, booking int references py_bookings on delete cascade, name text)",
    f"grant all on py_bookings, py_items to {ROLES}",
    "alter table py_bookings enable row level security",
    "create policy owners on py_bookings to authenticated using (owner = auth.uid()) with check (owner = auth.uid())",
    "create function py_add_up(a int, b int) returns int language sql immutable return a + b",
    "alter publication supabase_realtime add table py_bookings",
)


@pytest.fixture(scope="module")
def email() -> str:
    return f"{uuid4().hex}@example.org"


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tidewire: TidewireServer, email: str) -> Iterator[dict[str, Any]]:
    """Run the script once, and return what it was told."""
    assert request.config.cache is not None
    python = install_pypi_client(request.config.cache.mkdir("parity"))
    execute(tidewire.database_url, *SCHEMA)
    admin_key = token(role="service_role", sub=...)
    arguments = [tidewire.url, anon_key(), admin_key, email, str(tidewire.log_file)]
    ran = subprocess.run(
        [str(python), str(SCRIPT), *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    yield json.loads(ran.stdout)
    execute(tidewire.database_url, "drop table py_items, py_bookings", "drop function py_add_up")


def test_accounts(told: dict[str, Any], email: str) -> None:
    assert told["signed_up"] == [email, "Ada", True]
    assert (told["again"], told["wrong"]) == ("user_already_exists", "invalid_credentials")
    assert (told["same"], told["claims"], told["refreshed"]) == (True, True, True)
    assert told["changed"] == {"name": "Ada", "team": 7}
    assert told["signed_out"] == "refresh_token_not_found"


def test_a_link_leads_back_with_a_code(told: dict[str, Any], email: str) -> None:
    assert told["by_link"] == f"otp-{email}"


def test_administration(told: dict[str, Any]) -> None:
    assert told["admin"] == {
        "found": 1,
        "listed": True,
        "changed": {"b": 2},
        "by_hash": True,
        "ended": "refresh_token_not_found",
        "not_admin": "not_admin",
        "gone": "user_not_found",
    }


def test_data(told: dict[str, Any]) -> None:
    assert told["data"] == {
        "inserted": 3,
        "counted": 2,
        "paged": [[{"id": 2}], 3],
        "one": {"price": 10},
        "nobody": None,
        "filtered": [{"id": 3}, {"id": 1}],
        "updated": "late",
        "upserted": 33,
        "embedded": [{"id": 1, "py_items": [{"name": "room"}]}],
        "called": 3,
        "deleted": 2,
    }


def test_row_changes_reach_whoever_is_signed_in(told: dict[str, Any]) -> None:
    assert told["realtime"] == {"heard": 9}
    assert told["left"] == 0, "nothing is seen after signing out"
