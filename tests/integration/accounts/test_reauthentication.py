"""A new password after a while: with the current one, or with a code that was sent for it."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.accounts import PASSWORD, PLENTY, Mailbox, call, email, refused, sign_in, sign_up
from tests.support.server import Answer, RealtimeServer, realtime


@pytest.fixture(scope="module")
def careful(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, slot="careful", reauthenticate_s=3600, **PLENTY) as running:
        yield running


@pytest.fixture
def address() -> str:
    return email()


@pytest.fixture
def access(careful: RealtimeServer, address: str, dsn: str) -> str:
    """Return the token of a session that began two hours ago."""
    made = sign_up(careful, address)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "update auth.sessions set created_at = now() - interval '2 hours' where user_id = %s", [made["user"]["id"]]
        )
    token: str = made["access_token"]
    return token


def change(served: RealtimeServer, access: str, **wish: str) -> Answer:
    return call(served, "PUT", "/user", {"password": "battery staple", **wish}, bearer=access)


def test_a_fresh_sign_in_is_enough(careful: RealtimeServer) -> None:
    assert change(careful, sign_up(careful)["access_token"]).status == 200


def test_the_current_password_is_enough(careful: RealtimeServer, access: str, address: str) -> None:
    assert refused(change(careful, access)) == (400, "reauthentication_needed")
    assert change(careful, access, current_password=PASSWORD).status == 200
    assert sign_in(careful, address, "battery staple").status == 200


def test_a_code_by_e_mail_is_enough_once(careful: RealtimeServer, access: str, address: str, mailbox: Mailbox) -> None:
    assert call(careful, "GET", "/reauthenticate", bearer=access).json == {}
    code = mailbox.code(address)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert refused(change(careful, access, nonce=wrong)) == (422, "reauthentication_not_valid")
    assert change(careful, access, nonce=code).status == 200
    again = change(careful, access, nonce=code, password="another staple")
    assert refused(again) == (422, "reauthentication_not_valid")


def test_the_code_signs_nobody_in(careful: RealtimeServer, access: str, address: str, mailbox: Mailbox) -> None:
    call(careful, "GET", "/reauthenticate", bearer=access)
    code = mailbox.code(address)
    for type_ in ("email", "magiclink", "recovery", "reauthentication"):
        answered = call(careful, "POST", "/verify", {"type": type_, "email": address, "token": code})
        assert answered.status in {400, 403}, type_


def test_the_code_of_somebody_else(careful: RealtimeServer, access: str, mailbox: Mailbox) -> None:
    other = email()
    call(careful, "GET", "/reauthenticate", bearer=sign_up(careful, other)["access_token"])
    answered = change(careful, access, nonce=mailbox.code(other))
    assert refused(answered) == (422, "reauthentication_not_valid")


def test_who_has_no_address(careful: RealtimeServer) -> None:
    anonymous = call(careful, "POST", "/signup", {}).json["access_token"]
    assert refused(call(careful, "GET", "/reauthenticate", bearer=anonymous)) == (400, "validation_failed")
