"""The stock client signs up, signs in, goes on and signs out, and administers users."""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.parity.clients import anon_key
from tests.parity.installed import find_node, install_packages
from tests.parity.serving import TidewireServer, token

SCRIPT = Path(__file__).parent / "js" / "accounts.mjs"
CLIENTS = {"node20": "node-20", "node-newest": "node-newest"}


@pytest.fixture(scope="module", params=CLIENTS)
def told(request: pytest.FixtureRequest, tidewire: TidewireServer) -> dict[str, Any]:
    """Run the script with one version of the client, and return what it was told."""
    assert request.config.cache is not None
    packages = install_packages(request.config.cache.mkdir("parity"))
    name = f"supabase-js-{request.param.removeprefix('node-')}"
    keys = [anon_key(), token(role="service_role", sub=...)]
    ran = subprocess.run(
        [
            find_node(packages, CLIENTS[request.param]),
            SCRIPT,
            packages,
            name,
            tidewire.url,
            *keys,
            f"{uuid4().hex}@x.org",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    read: dict[str, Any] = json.loads(ran.stdout)
    return read


def code(answered: dict[str, Any]) -> str | None:
    refused: dict[str, Any] | None = answered["error"]
    return str(refused["code"]) if refused else None


def test_signing_up_and_in(told: dict[str, Any]) -> None:
    signed_up = told["signUp"]["data"]
    assert told["signUp"]["error"] is None
    assert signed_up["session"]["user"] == signed_up["user"]
    assert signed_up["user"]["user_metadata"]["name"] == "Ada"
    assert code(told["again"]) == "user_already_exists"
    assert told["weak"]["error"]["name"] == "AuthWeakPasswordError"
    assert code(told["wrong"]) == "invalid_credentials"
    assert told["signIn"]["data"]["user"]["id"] == signed_up["user"]["id"]
    assert told["user"]["data"]["user"]["id"] == signed_up["user"]["id"]


def test_the_client_verifies_the_token_with_the_published_key(told: dict[str, Any]) -> None:
    verified = told["claims"]["data"]
    assert verified["header"]["alg"] == "ES256"
    assert verified["claims"]["sub"] == told["signUp"]["data"]["user"]["id"]


def test_going_on(told: dict[str, Any]) -> None:
    assert told["update"]["data"]["user"]["user_metadata"] == {"team": 7}
    sessions = [told[name]["data"]["session"] for name in ("refresh", "refreshAgain")]
    assert sessions[0]["refresh_token"] == sessions[1]["refresh_token"], "as two tabs that refresh at once"
    assert told["password"]["error"] is None
    assert code(told["ended"]) == "refresh_token_not_found"
    assert told["joined"] == "SUBSCRIBED"


def test_signing_out(told: dict[str, Any]) -> None:
    assert told["signOut"]["error"] is None
    assert code(told["after"]) == "refresh_token_not_found"
    assert told["afterwards"]["error"]["name"] == "AuthSessionMissingError"


def test_administrators(told: dict[str, Any]) -> None:
    listed = told["listed"]["data"]
    assert (len(listed["users"]), listed["nextPage"] in {2, None}) == (1, True)
    assert told["found"]["data"]["user"]["app_metadata"]["a"] == 1
    assert told["changed"]["data"]["user"]["user_metadata"] == {"b": 2}
    assert code(told["banned"]) == "user_banned"
    assert told["deleted"]["error"] is None
    link = told["link"]["data"]
    assert link["properties"]["verification_type"] == "magiclink"
    assert told["byHash"]["data"]["user"]["id"] == link["user"]["id"]
    assert code(told["gone"]) == "user_not_found"
    assert code(told["notAdmin"]) == "not_admin"


def test_codes_and_strangers(told: dict[str, Any]) -> None:
    assert told["otp"]["error"] is None
    assert told["recover"]["error"] is None
    assert told["reauthenticate"]["error"] is None
    assert told["pkce"]["error"] is None
    assert code(told["noCode"]) == "otp_expired"
    assert code(told["anonymous"]) == "anonymous_provider_disabled"
