"""Keeps users in schema auth: who there is, and what of one changes. Decides nothing, and sees no password."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import errors as pg
from psycopg import sql

from tidewire.accounts.refusals import HAS_DEPENDANTS, HOOK_FAILED, USER_NOT_FOUND, AccountRefused, invalid
from tidewire.accounts.users import Identity, User
from tidewire.model.errors import PostgresError
from tidewire.postgres import queries
from tidewire.postgres.connection import translate
from tidewire.postgres.pool import Pool

_METADATA_TOO_LARGE: Final = "The metadata of a user must be JSON of at most 4 KiB that Postgres can hold"


class Account(Struct, frozen=True):
    """A user together with the hash of the password, which must not leave the server."""

    user: User
    password_hash: str | None


class NewUser(Struct, frozen=True, kw_only=True):
    """What a user begins with."""

    id: UUID
    role: str = "authenticated"
    email: str | None = None
    password_hash: str | None = None
    confirmed: bool = False
    invited: bool = False
    is_anonymous: bool = False
    app_metadata: Mapping[str, Any] = {}
    user_metadata: Mapping[str, Any] = {}
    banned_until: datetime | None = None


class UserChange(Struct, frozen=True, kw_only=True):
    """What of a user is to change; None leaves it as it is. `set_ban` says that `banned_until` counts."""

    email: str | None = None
    password_hash: str | None = None
    confirm: bool = False
    drop_password: bool = False
    role: str | None = None
    app_metadata: Mapping[str, Any] | None = None
    user_metadata: Mapping[str, Any] | None = None
    set_ban: bool = False
    banned_until: datetime | None = None


class AccountStore:
    """Every method is one short question to the database, and raises our errors when it cannot be asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, *, id: UUID | None = None, email: str | None = None) -> Account | None:  # noqa: A002 - its name
        """Return the account with this id or address."""
        rows = await self._pool.fetch("reading an account", queries.load("accounts_user"), {"id": id, "email": email})
        return _account(rows[0]) if rows else None

    async def get(self, id_: UUID) -> User:
        """Return the user. Raises AccountRefused when there is none."""
        account = await self.find(id=id_)
        if account is None:
            raise AccountRefused(USER_NOT_FOUND)
        return account.user

    async def page(self, *, limit: int, offset: int) -> tuple[tuple[User, ...], int]:
        """Return a page of users, the oldest first, and how many there are."""
        page = {"limit": limit, "offset": offset}
        rows = await self._pool.fetch("listing accounts", queries.load("accounts_users"), page)
        if rows:
            return tuple(_account(row).user for row in rows), int(rows[0][18])
        return (), int((await self._pool.fetch("counting accounts", queries.load("accounts_count"), {}))[0][0])

    async def add(self, new: NewUser) -> bool:
        """Add a user; false when the address or the id is taken. Raises AccountRefused for metadata that do not fit."""
        parameters = {
            "id": new.id,
            "role": new.role,
            "email": new.email,
            "password": new.password_hash,
            "confirmed": new.confirmed,
            "invited": new.invited,
            "is_anonymous": new.is_anonymous,
            "app_metadata": _json(new.app_metadata),
            "user_metadata": _json(new.user_metadata),
            "banned_until": new.banned_until,
        }
        return bool(await self._write("adding an account", "accounts_add_user", parameters))

    async def change(self, id_: UUID, change: UserChange) -> bool:
        """Change a user; false when the address is another one's. Raises AccountRefused when there is no such user."""
        parameters = {
            "id": id_,
            "email": change.email,
            "password": change.password_hash,
            "confirm": change.confirm,
            "drop_password": change.drop_password,
            "role": change.role,
            "app_metadata": None if change.app_metadata is None else _json(change.app_metadata),
            "user_metadata": None if change.user_metadata is None else _json(change.user_metadata),
            "set_ban": change.set_ban,
            "banned_until": change.banned_until,
        }
        try:
            changed = await self._write("changing an account", "accounts_change_user", parameters)
        except _Taken:
            return False
        if not changed:
            raise AccountRefused(USER_NOT_FOUND)
        return True

    async def delete(self, id_: UUID, *, softly: bool) -> None:
        """Delete a user, or keep the bare row that others refer to. Raises AccountRefused when there is none."""
        name = "accounts_soft_delete_user" if softly else "accounts_delete_user"
        if not await self._write("deleting an account", name, {"id": id_}):
            raise AccountRefused(USER_NOT_FOUND)

    async def call_hook(self, name: str, event: Mapping[str, Any]) -> Any:
        """Return what the function `name` makes of the event. Raises AccountRefused when it fails."""
        query = sql.SQL("select {}(%s::jsonb)").format(sql.Identifier(*name.split(".")))
        doing = f"calling {name}"
        async with self._pool.connection(doing) as connection:
            try:
                cursor = await connection.execute(query, (_json(event),))
                row = await cursor.fetchone()
            except (pg.OperationalError, pg.InterfaceError):
                raise
            except pg.Error as error:
                raise HookFailed(translate(error, doing).message) from None
        return row[0] if row else None

    async def _write(self, doing: str, name: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        async with self._pool.connection(doing) as connection:
            try:
                cursor = await connection.execute(queries.load(name), parameters)
                return await cursor.fetchall()
            except pg.UniqueViolation:
                raise _Taken from None
            except (pg.CheckViolation, pg.DataError):
                raise invalid(_METADATA_TOO_LARGE) from None
            except pg.ForeignKeyViolation:
                raise AccountRefused(HAS_DEPENDANTS) from None


class HookFailed(AccountRefused):
    """The function that adds claims failed; `message` is for the log only."""

    def __init__(self, message: str) -> None:
        super().__init__(HOOK_FAILED)
        self.message = message


class _Taken(PostgresError):  # noqa: N818 - never leaves this module
    """The address belongs to another user."""


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _account(row: tuple[Any, ...]) -> Account:
    identities = tuple(
        Identity(
            identity_id=UUID(each["id"]),
            provider=each["provider"],
            provider_id=each["provider_id"],
            data=each["identity_data"],
            created_at=datetime.fromisoformat(each["created_at"]),
            updated_at=datetime.fromisoformat(each["updated_at"]),
            last_sign_in_at=datetime.fromisoformat(each["last_sign_in_at"]) if each["last_sign_in_at"] else None,
        )
        for each in row[17]
    )
    id_, aud, role, email, app, own, created, updated, anonymous, *times = row[:16]
    confirmed, confirmation_sent, recovery_sent, email_change, invited, last_sign_in, banned = times
    app_metadata = {"provider": "email", "providers": ["email"], **app} if email else app
    return Account(
        User(
            id=id_,
            aud=aud,
            role=role,
            email=email,
            app_metadata=app_metadata,
            user_metadata=own,
            created_at=created,
            updated_at=updated,
            is_anonymous=anonymous,
            email_confirmed_at=confirmed,
            confirmation_sent_at=confirmation_sent,
            recovery_sent_at=recovery_sent,
            email_change=email_change,
            invited_at=invited,
            last_sign_in_at=last_sign_in,
            banned_until=banned,
            identities=identities,
        ),
        row[16],
    )
