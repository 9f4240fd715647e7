"""`tidewire token`: what it prints is accepted by a server with the same settings, and by no other."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from tests.support.command import complaint, run
from tests.support.tokens import OTHER_SECRET, SECRET
from tidewire import assemble
from tidewire.model.claims import Claims
from tidewire.model.errors import TokenRefused
from tidewire.server.secret import FILE
from tidewire.settings import Settings


def verify(token: str, settings: Settings) -> Claims:
    return asyncio.run(assemble.authorizer(settings).authorize(token))


@pytest.mark.timeout(60)
def test_a_development_token_is_accepted_by_the_server_of_the_same_folder(tmp_path: Path) -> None:
    began_s = int(time.time())
    first, second = (
        run("token", *arguments, folder=tmp_path)
        for arguments in ((), ("--role", "anon", "--sub", "ada", "--exp", "2m"))
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    here = Settings(data_dir=str(tmp_path / ".tidewire"))
    claims = verify(first.stdout.strip(), here)
    assert (claims.role, claims.subject) == ("authenticated", None)
    assert began_s + 3600 <= claims.expires_at_s <= time.time() + 3600
    claims = verify(second.stdout.strip(), here)
    assert (claims.role, claims.subject) == ("anon", "ada")
    assert began_s + 120 <= claims.expires_at_s <= time.time() + 120
    with pytest.raises(TokenRefused, match="signature"):
        verify(first.stdout.strip(), Settings(data_dir=str(tmp_path / "elsewhere")))


@pytest.mark.timeout(60)
def test_claims_and_what_the_settings_demand_are_filled_in(tmp_path: Path) -> None:
    demands = 'jwt_audience = "app"\njwt_issuer = "me"\n[jwt_claims]\nbeta = true\n'
    secrets = f'mode = "production"\njwt_secret = "{SECRET}"\njwt_secret_previous = "{OTHER_SECRET}"\n'
    (tmp_path / "tidewire.toml").write_text(secrets + demands)
    result = run("token", "--json", "--claim", "team=[1,2]", "--claim", "name=Ada = 1", "--exp", "1y", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    accepting = Settings(
        jwt_secret=SECRET, jwt_audience="app", jwt_issuer="me", jwt_claims={"beta": True}, mode="production"
    )
    assert verify(printed["token"], accepting).values == printed["claims"]
    assert printed["claims"]["team"] == [1, 2]
    assert printed["claims"]["name"] == "Ada = 1"
    assert not (tmp_path / ".tidewire").exists()
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--exp", "0s"), "--exp"),
        (("--exp", "101y"), "--exp"),
        (("--claim", "team"), "NAME=VALUE"),
        (("--claim", "role=postgres"), "role has an option"),
        (("--claim", "nbf=tomorrow"), "nbf"),
        (("--role", "none"), "role"),
        (("--claim", f"pad={'x' * 20_000}"), "16 KiB"),
        (("--sub", os.fsdecode(b"\xff")), "bytes"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[0],
)
def test_what_cannot_be_a_token_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in complaint(run("token", *arguments, folder=tmp_path))


@pytest.mark.timeout(60)
def test_production_mints_only_with_a_secret_of_its_own(tmp_path: Path) -> None:
    for text in ('mode = "production"', 'mode = "production"\njwks = "https://127.0.0.1:9/keys"'):
        (tmp_path / "tidewire.toml").write_text(text)
        assert "jwt_secret" in complaint(run("token", folder=tmp_path))
    assert not (tmp_path / ".tidewire").exists()


@pytest.mark.timeout(60)
def test_a_secret_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    assert run("token", folder=tmp_path).returncode == 0
    (tmp_path / ".tidewire" / FILE).chmod(0o644)
    assert "only its owner" in complaint(run("token", folder=tmp_path))
