"""/auth/v1/admin for the service role: makes, lists, changes and deletes users, and ends their sessions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import UUID, uuid4

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.passwords import check_new_password, normal_email
from tidewire.accounts.refusals import (
    EMAIL_EXISTS,
    NO_SUCH_SESSION,
    PHONE_DISABLED,
    USER_ID_EXISTS,
    AccountRefused,
    invalid,
)
from tidewire.accounts.requests import (
    AdminDelete,
    AdminUser,
    read_ban,
    read_page,
    read_uuid,
)
from tidewire.accounts.users import describe_user
from tidewire.postgres.account_sessions import AccountSessions
from tidewire.postgres.account_store import AccountStore, NewUser, UserChange
from tidewire.server.auth_door import AuthDoor, Endpoint, answer
from tidewire.server.password_hasher import PasswordHasher, is_checkable_hash

USER = "/admin/users/{user_id}"


class AuthAdmin:
    """Its endpoints are listed by `endpoints`; each asks for a token or key of an administrator first."""

    def __init__(
        self,
        *,
        door: AuthDoor,
        store: AccountStore,
        sessions: AccountSessions,
        hasher: PasswordHasher,
        password_chars: int,
    ) -> None:
        self._door = door
        self._store = store
        self._sessions = sessions
        self._hasher = hasher
        self._password_chars = password_chars

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        return (
            ("GET", "/admin/users", self.list),
            ("POST", "/admin/users", self.add),
            ("GET", USER, self.get),
            ("PUT", USER, self.change),
            ("DELETE", USER, self.delete),
            ("GET", f"{USER}/sessions", self.list_sessions),
            ("DELETE", f"{USER}/sessions", self.end_sessions),
            ("DELETE", f"{USER}/sessions/{{session_id}}", self.end_session),
        )

    async def list(self, request: Request) -> Response:
        """Return a page of users, and in the headers how many there are and where the next page is."""
        await self._door.admin(request)
        page, size = read_page(request.query_params)
        users, total = await self._store.page(limit=size, offset=(page - 1) * size)
        last = max(1, -(-total // size))
        links = [f'</admin/users?page={last}&per_page={size}>; rel="last"']
        if page < last:
            links.insert(0, f'</admin/users?page={page + 1}&per_page={size}>; rel="next"')
        body = {"users": [describe_user(user) for user in users], "aud": "authenticated"}
        return answer(body, x_total_count=str(total), link=", ".join(links))

    async def add(self, request: Request) -> Response:
        """Make a user as the administrator says; no e-mail is sent."""
        await self._door.admin(request)
        wish = await self._door.read(request, AdminUser)
        email = _email_of(wish)
        new = NewUser(
            id=wish.id or uuid4(),
            role=wish.role or "authenticated",
            email=email,
            password_hash=await self._password_of(wish),
            confirmed=wish.email_confirm,
            app_metadata=wish.app_metadata or {},
            user_metadata=wish.user_metadata or {},
            banned_until=_ban_of(wish),
        )
        if not await self._store.add(new):
            taken = email is not None and await self._store.find(email=email) is not None
            raise AccountRefused(EMAIL_EXISTS if taken else USER_ID_EXISTS)
        return await self._described(new.id)

    async def get(self, request: Request) -> Response:
        """Return one user."""
        await self._door.admin(request)
        return await self._described(read_uuid(request.path_params["user_id"]))

    async def change(self, request: Request) -> Response:
        """Change a user; a new password and a ban end the sessions."""
        await self._door.admin(request)
        id_ = read_uuid(request.path_params["user_id"])
        wish = await self._door.read(request, AdminUser)
        password_hash, banned_until = await self._password_of(wish), _ban_of(wish)
        changed = await self._store.change(
            id_,
            UserChange(
                email=_email_of(wish),
                password_hash=password_hash,
                confirm=wish.email_confirm,
                role=wish.role,
                app_metadata=wish.app_metadata,
                user_metadata=wish.user_metadata,
                set_ban=wish.ban_duration is not UNSET,
                banned_until=banned_until,
            ),
        )
        if not changed:
            raise AccountRefused(EMAIL_EXISTS)
        if password_hash is not None or banned_until is not None:
            await self._sessions.end(id_, None, "global")
        return await self._described(id_)

    async def delete(self, request: Request) -> Response:
        """Delete a user, or everything about it but the row that other tables refer to."""
        await self._door.admin(request)
        id_ = read_uuid(request.path_params["user_id"])
        wish = await self._door.read(request, AdminDelete)
        await self._store.delete(id_, softly=wish.should_soft_delete)
        return answer({})

    async def list_sessions(self, request: Request) -> Response:
        """Return the sessions of a user, the one used last first."""
        await self._door.admin(request)
        user = await self._store.get(read_uuid(request.path_params["user_id"]))
        return answer({"sessions": [each.describe(current=False) for each in await self._sessions.of_user(user.id)]})

    async def end_sessions(self, request: Request) -> Response:
        """End all sessions of a user."""
        await self._door.admin(request)
        user = await self._store.get(read_uuid(request.path_params["user_id"]))
        await self._sessions.end(user.id, None, "global")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def end_session(self, request: Request) -> Response:
        """End one session of a user."""
        await self._door.admin(request)
        id_ = read_uuid(request.path_params["user_id"])
        if not await self._sessions.end(id_, read_uuid(request.path_params["session_id"], "session_id"), "local"):
            raise AccountRefused(NO_SUCH_SESSION)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _described(self, id_: UUID) -> Response:
        return answer(describe_user(await self._store.get(id_)))

    async def _password_of(self, wish: AdminUser) -> str | None:
        if wish.password_hash is not None:
            if not is_checkable_hash(wish.password_hash):
                raise invalid(
                    "password_hash must be argon2id of at most 256 MiB and 10 passes, or bcrypt of cost 12 at most"
                )
            return wish.password_hash
        if wish.password is None:
            return None
        check_new_password(wish.password, fewest_chars=self._password_chars)
        return await self._hasher.hash(wish.password)


def _email_of(wish: AdminUser) -> str | None:
    if wish.phone:
        raise AccountRefused(PHONE_DISABLED)
    return normal_email(wish.email) if wish.email else None


def _ban_of(wish: AdminUser) -> datetime | None:
    return read_ban(wish.ban_duration, datetime.now(UTC)) if isinstance(wish.ban_duration, str) else None
