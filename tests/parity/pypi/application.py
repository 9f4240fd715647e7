"""Does with PyPI's `supabase`, as it is, what an application would, and prints what it was told as one JSON document.

Arguments: URL, key, key of the service role, e-mail address, file with the e-mails that the server prints.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from supabase import AsyncClient, acreate_client
from supabase_auth.errors import AuthError

LIMIT_S = 10.0
PASSWORD = "correct horse"


async def refused(call: Awaitable[Any]) -> str | None:
    """Return the code with which a call was refused."""
    try:
        await call
    except AuthError as error:
        return str(error.code)
    return None


def find_link(mails: Path, email: str) -> str | None:
    found = re.findall(rf"e-mail to {re.escape(email)}.*?(http\S+/verify\S+)", mails.read_text(), re.DOTALL)
    return found[-1] if found else None


async def follow_link(mails: Path, email: str) -> str:
    """Wait for the link in an e-mail, follow it, and return the code that it leads back with."""
    deadline_s = time.monotonic() + LIMIT_S
    while (link := find_link(mails, email)) is None:
        assert time.monotonic() < deadline_s, "no e-mail"
        await asyncio.sleep(0.05)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(link)
    return parse_qs(urlsplit(str(answer.headers["location"])).query)["code"][0]


async def use_accounts(here: AsyncClient, there: AsyncClient, email: str, mails: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    made = await here.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ada"}}})
    told["signed_up"] = [made.user.email, made.user.user_metadata["name"], made.session is not None]
    told["again"] = await refused(there.auth.sign_up({"email": email, "password": PASSWORD}))
    told["wrong"] = await refused(there.auth.sign_in_with_password({"email": email, "password": "wrong horse"}))
    signed_in = await there.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    told["same"] = signed_in.user.id == made.user.id
    told["claims"] = (await there.auth.get_claims())["claims"]["sub"] == made.user.id
    before = signed_in.session.refresh_token
    refreshed = await there.auth.refresh_session()
    told["refreshed"] = refreshed.session.refresh_token != before
    changed = await there.auth.update_user({"data": {"team": 7}})
    told["changed"] = changed.user.user_metadata
    await there.auth.reauthenticate()
    await there.auth.sign_out({"scope": "local"})
    told["signed_out"] = await refused(there.auth.refresh_session(refreshed.session.refresh_token))
    await there.auth.sign_in_with_otp({"email": f"otp-{email}"})
    by_link = await there.auth.exchange_code_for_session({"auth_code": await follow_link(mails, f"otp-{email}")})
    told["by_link"] = by_link.user.email
    return told


async def administer(admin: AsyncClient, anybody: AsyncClient, email: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    users = admin.auth.admin
    made = await users.create_user(
        {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"a": 1}}
    )
    id_ = made.user.id
    told["found"] = (await users.get_user_by_id(id_)).user.app_metadata["a"]
    told["listed"] = id_ in {each.id for each in await users.list_users(per_page=1000)}
    told["changed"] = (await users.update_user_by_id(id_, {"user_metadata": {"b": 2}})).user.user_metadata
    link = (await users.generate_link({"type": "magiclink", "email": email})).properties
    verified = await anybody.auth.verify_otp({"type": "magiclink", "token_hash": link.hashed_token})
    told["by_hash"] = verified.user.id == id_
    await users.sign_out(verified.session.access_token)
    told["ended"] = await refused(anybody.auth.refresh_session(verified.session.refresh_token))
    told["not_admin"] = await refused(anybody.auth.admin.list_users())
    await users.delete_user(id_)
    told["gone"] = await refused(users.get_user_by_id(id_))
    return told


async def use_data(here: AsyncClient) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def bookings() -> Any:
        return here.table("py_bookings")

    rows = [{"id": n, "status": "pending" if n < 3 else "done", "price": n * 10} for n in (1, 2, 3)]
    told["inserted"] = len((await bookings().insert(rows).execute()).data)
    told["counted"] = (await bookings().select("id", count="exact", head=True).eq("status", "pending").execute()).count
    paged = await bookings().select("id", count="exact").order("id").range(1, 1).execute()
    told["paged"] = [paged.data, paged.count]
    told["one"] = (await bookings().select("price").eq("id", 1).single().execute()).data
    told["nobody"] = await bookings().select("*").eq("id", 99).maybe_single().execute()
    told["filtered"] = (await bookings().select("id").or_("id.eq.3,price.lt.15").order("id", desc=True).execute()).data
    told["updated"] = (await bookings().update({"status": "late"}).eq("id", 2).execute()).data[0]["status"]
    told["upserted"] = (await bookings().upsert({"id": 3, "price": 33}).execute()).data[0]["price"]
    await here.table("py_items").insert([{"id": 1, "booking": 1, "name": "room"}]).execute()
    told["embedded"] = (await bookings().select("id,py_items(name)").eq("id", 1).execute()).data
    told["called"] = (await here.rpc("py_add_up", {"a": 1, "b": 2}).execute()).data
    told["deleted"] = len((await bookings().delete().gte("id", 2).execute()).data)
    return told


async def listen(here: AsyncClient) -> dict[str, Any]:
    """Follow rows that only their owner may see, in a channel that is joined after signing in."""
    live, heard = asyncio.Event(), asyncio.Queue[Any]()
    channel = here.channel("bookings")
    channel.on_system(lambda _: live.set())  # says that row changes are live
    channel.on_postgres_changes("INSERT", schema="public", table="py_bookings", callback=heard.put_nowait)
    await channel.subscribe()
    async with asyncio.timeout(LIMIT_S):
        await live.wait()
        await here.table("py_bookings").insert({"id": 9}).execute()
        change = await heard.get()
    await here.remove_all_channels()
    return {"heard": change["data"]["record"]["id"]}


async def main(url: str, key: str, admin_key: str, email: str, mails: str) -> None:
    here, there, anybody = [await acreate_client(url, key) for _ in range(3)]
    told = await use_accounts(here, there, email, Path(mails))
    told |= {"admin": await administer(await acreate_client(url, admin_key), anybody, f"made-{email}")}
    told |= {"data": await use_data(here), "realtime": await listen(here)}
    await here.auth.sign_out()
    told["left"] = (await here.table("py_bookings").select("id", count="exact").execute()).count
    print(json.dumps(told))  # noqa: T201 - this line is the program's answer


asyncio.run(main(*sys.argv[1:]))
