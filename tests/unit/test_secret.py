"""Production takes only secrets of its own; development makes one, once, for its owner's eyes."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from tests.support.tokens import OTHER_SECRET, SECRET
from tidewire.model.errors import ConfigurationError
from tidewire.server.secret import FILE, PUBLISHED, development_secret, shared_secrets
from tidewire.settings import MIN_SECRET_CHARS, Settings, load

KEY = "sb_publishable_" + "k" * 22


def production(**changes: Any) -> Settings:
    return load("", {}, {"mode": "production", **changes})


def test_development_makes_one_secret_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"))
    (secret,) = shared_secrets(settings)
    assert re.fullmatch(r"[\w-]{64}", secret)
    assert shared_secrets(settings) == (secret,)
    assert stat.S_IMODE((tmp_path / "data" / FILE).stat().st_mode) == 0o600
    assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"
    assert {path.name for path in (tmp_path / "data").iterdir()} == {FILE, ".gitignore"}
    assert shared_secrets(Settings(data_dir=str(tmp_path / "other"))) != (secret,)


def test_two_commands_that_start_at_once_agree(tmp_path: Path) -> None:
    at_once = 8
    together = Barrier(at_once)

    def start(_: int) -> str:
        together.wait(timeout=10)
        return development_secret(tmp_path)

    with ThreadPoolExecutor(at_once) as pool:
        assert len(set(pool.map(start, range(at_once)))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {FILE, ".gitignore"}


def test_a_configured_secret_comes_first_and_no_file_is_made(tmp_path: Path) -> None:
    settings = Settings(jwt_secret=SECRET, jwt_secret_previous=OTHER_SECRET, data_dir=str(tmp_path / "data"))
    assert shared_secrets(settings) == (SECRET, OTHER_SECRET)
    assert not (tmp_path / "data").exists()


def test_the_secret_before_the_made_one_still_verifies(tmp_path: Path) -> None:
    made, previous = shared_secrets(Settings(jwt_secret_previous=OTHER_SECRET, data_dir=str(tmp_path)))
    assert made == development_secret(tmp_path)
    assert previous == OTHER_SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    development_secret(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ConfigurationError, match="only its owner") as caught:
        development_secret(tmp_path)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"x" * (MIN_SECRET_CHARS - 1), b"\xff" * 40])
def test_a_file_that_holds_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(ConfigurationError, match=FILE) as caught:
        development_secret(tmp_path)
    assert "xxx" not in str(caught.value)


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        development_secret(tmp_path / "file")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"jwt_secret": "x" * 64},
        *({"jwt_secret": secret} for secret in sorted(PUBLISHED)),
        *({"jwt_secret": SECRET, "jwt_secret_previous": secret} for secret in sorted(PUBLISHED)),
    ],
    ids=str,
)
def test_production_refuses_to_start_without_secrets_of_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="starting in production") as caught:
        shared_secrets(production(**changes))
    assert "openssl" in caught.value.hint
    assert not any(secret in str(caught.value) for secret in PUBLISHED)


@pytest.mark.parametrize(
    ("changes", "secrets"),
    [
        ({"jwt_secret": SECRET}, (SECRET,)),
        ({"jwt_secret": SECRET, "jwt_secret_previous": OTHER_SECRET}, (SECRET, OTHER_SECRET)),
        ({"jwks": "https://127.0.0.1:9/keys"}, ()),
        ({"publishable_keys": (KEY,)}, ()),
    ],
)
def test_production_starts_with_its_own(changes: dict[str, Any], secrets: tuple[str, ...]) -> None:
    assert shared_secrets(production(**changes)) == secrets


@pytest.mark.parametrize("secret", sorted(PUBLISHED))
def test_development_works_with_the_secrets_of_local_stacks(secret: str) -> None:
    assert shared_secrets(Settings(jwt_secret=secret)) == (secret,)
