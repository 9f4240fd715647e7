"""The console's way in, its page and its HTTP API, on a real server."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import fresh_migrated_database
from tests.support.server import Answer, RealtimeServer, realtime, request, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.server import console_parts

pytestmark = pytest.mark.timeout(60)  # the first of them waits for a database and a server

OPERATOR = {"authorization": f"Bearer {token('service_role')}"}


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def bearer(made: str) -> dict[str, str]:
    return {"authorization": f"Bearer {made}"}


def api(server: RealtimeServer, path: str, **headers: str) -> Answer:
    return server.get(f"/console/api{path}", **headers)


# --- who may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "service_role"},
        {"role": "authenticated", "operator": True},
        {"role": "authenticated", "app_metadata": {"operator": True}},
    ],
)
def test_operators_are_let_in(served: RealtimeServer, claims: dict[str, object]) -> None:
    assert api(served, "/connections", **bearer(token(**claims))).status == 200  # type: ignore[arg-type]  # the role


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "authenticated"},
        {"role": "anon", "user_metadata": {"operator": True}},
        {"role": "anon", "operator": "true"},
        {"role": "anon", "operator": 1},
        {"role": "anon", "app_metadata": ["operator"]},
        {"role": "anon", "app_metadata": {"operator": "yes"}},
    ],
)
def test_others_are_not(served: RealtimeServer, claims: dict[str, object]) -> None:
    answer = api(served, "/connections", **bearer(token(**claims)))  # type: ignore[arg-type]  # the role
    assert (answer.status, answer.json["code"]) == (403, "NotOperator")


def test_a_token_counts_in_its_header_only(served: RealtimeServer) -> None:
    made = token("service_role")
    assert api(served, f"/connections?apikey={made}").status == 401
    assert api(served, "/connections", apikey=made).status == 401
    assert api(served, "/connections", cookie=f"access_token={made}").status == 401
    assert api(served, "/connections", **bearer("nonsense")).json["code"] == "TokenRefused"


def test_what_is_not_there_is_told_as_json(served: RealtimeServer) -> None:
    answer = api(served, "/nothing", **OPERATOR)
    assert (answer.status, answer.json["code"]) == (404, "NotFound")


def test_it_can_be_switched_off(dsn: str) -> None:
    with realtime(dsn, slot="off", console=False) as server:
        assert server.get("/console/").status == 404
        assert api(server, "/connections", **OPERATOR).status == 404
        with server.connect() as client:
            client.push("realtime:tidewire:overview", "phx_join", join(token("service_role")))
            assert client.receive("phx_reply")["payload"]["status"] == "error"


# --- the link ------------------------------------------------------------------------------------------------


def new_link(server: RealtimeServer) -> str:
    console = server.app.console
    assert console is not None
    path = console.sign_in_path()
    assert path is not None
    assert path.startswith("/console/#sign-in=")
    return path.partition("=")[2]


def test_a_link_lets_in_once(served: RealtimeServer) -> None:
    link = new_link(served)
    answer = served.post("/console/api/sign-in", {"link": link})
    assert answer.status == 200
    made = bearer(answer.json["access_token"])
    assert api(served, "/connections", **made).status == 200
    renewed = served.post("/console/api/renew", **made)
    assert renewed.status == 200
    assert api(served, "/connections", **bearer(renewed.json["access_token"])).status == 200
    again = served.post("/console/api/sign-in", {"link": link})
    assert (again.status, again.json["code"]) == (401, "LinkRefused")


def test_what_a_link_gives_is_no_right_in_the_database(served: RealtimeServer) -> None:
    made = served.post("/console/api/sign-in", {"link": new_link(served)}).json["access_token"]
    assert served.get("/metrics", **bearer(made)).status == 200
    assert served.get("/auth/v1/admin/users", **bearer(made)).status == 403


@pytest.mark.parametrize("body", [{"link": "x"}, {"link": ""}, {"link": "ä" * 43}])
def test_another_text_is_no_link(served: RealtimeServer, body: dict[str, str]) -> None:
    new_link(served)
    assert served.post("/console/api/sign-in", body).status == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"link": 1}, {"link": "x" * 201}, {"link": "x", "more": 1}])
def test_a_body_of_another_form_is_refused(served: RealtimeServer, body: object) -> None:
    answer = served.post("/console/api/sign-in", body)
    assert (answer.status, answer.json["code"]) == (400, "BadRequest")


def test_tokens_of_others_are_not_renewed(served: RealtimeServer) -> None:
    assert served.post("/console/api/renew", **OPERATOR).json["code"] == "NotRenewable"


# --- tokens to look with -------------------------------------------------------------------------------------


def test_a_minted_token_is_somebody(served: RealtimeServer) -> None:
    wish = {"role": "authenticated", "user": "ada", "claims": {"team": 7}, "lifetime_s": 60}
    made = served.post("/console/api/tokens", wish, **OPERATOR).json["access_token"]
    with served.connect(apikey=made) as client:
        client.join("realtime:room")
        found = api(served, "/connections?user=ada", **OPERATOR).json["connections"]
    assert [(each["role"], each["user"], each["transport"]) for each in found] == [
        ("authenticated", "ada", "websocket")
    ]


@pytest.mark.parametrize(
    "wish",
    [
        {"role": "authenticated", "claims": {"role": "service_role"}},
        {"role": "authenticated", "claims": {"exp": 4_000_000_000}},
        {"role": "authenticated", "claims": {"console_until": 4_000_000_000}},
    ],
)
def test_claims_with_a_meaning_of_their_own_are_not_minted(served: RealtimeServer, wish: object) -> None:
    answer = served.post("/console/api/tokens", wish, **OPERATOR)
    assert (answer.status, answer.json["code"]) == (422, "ConfigurationError")


@pytest.mark.parametrize("wish", [{"role": ""}, {"lifetime_s": 3601}, {"lifetime_s": 0}, {"claims": []}])
def test_tokens_are_short_lived_and_of_a_role(served: RealtimeServer, wish: object) -> None:
    assert served.post("/console/api/tokens", wish, **OPERATOR).status == 400


# --- connections ---------------------------------------------------------------------------------------------


def test_an_operator_sees_a_connection_and_sends_it_away(served: RealtimeServer) -> None:
    with served.connect(apikey=token("authenticated", sub="bob")) as client:
        client.join("realtime:room")
        (row,) = api(served, "/connections?user=bob", **OPERATOR).json["connections"]
        path = f"/connections/{row['number']}"
        detail = api(served, path, **OPERATOR).json
        assert detail["channels"] == [
            {"topic": "realtime:room", "private": False, "broadcasts": True, "presence": True}
        ]
        assert served.post(f"/console/api{path}/disconnect", **OPERATOR).status == 204
        assert client.closed() == 1012
    wait_until(lambda: api(served, path, **OPERATOR).status == 404)
    assert served.post(f"/console/api{path}/disconnect", **OPERATOR).json["code"] == "NoSuchConnection"


def test_connections_are_read_page_by_page(served: RealtimeServer) -> None:
    clients = [served.connect() for _ in range(3)]
    try:
        first = api(served, "/connections?limit=2", **OPERATOR).json
        rest = api(served, f"/connections?limit=2&after={first['next']}", **OPERATOR).json
    finally:
        for client in clients:
            client.vanish()
    numbers = [each["number"] for each in (*first["connections"], *rest["connections"])]
    assert len(first["connections"]) == 2
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 3
    assert api(served, "/connections?after=x", **OPERATOR).status == 400


# --- the page ------------------------------------------------------------------------------------------------


def join(made: str, **config: object) -> dict[str, object]:
    return {"config": {"private": True, "presence": {"enabled": False}, **config}, "access_token": made}


@pytest.fixture(scope="module")
def built(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealtimeServer]:
    """Serve a page that was built, with what a bundler makes of it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("secret")
    folder = outside / "_ui"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>console</title>")
    script = folder / "assets" / "index-Ab3_x-9Z.js"
    script.write_text("let a = 1")
    script.with_name(script.name + ".gz").write_bytes(gzip.compress(b"let a = 1"))
    script.with_name(script.name + ".br").write_bytes(b"brotli, as far as anybody here can tell")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console_parts, "BUILT_PAGES", folder)
        with realtime(dsn, slot="built") as running:
            yield running


def test_every_address_of_the_page_is_the_page(built: RealtimeServer) -> None:
    for path in ("/console/", "/console/connections", "/console/tables/public", "/console"):
        answer = built.get(path)
        assert (answer.status, answer.body) == (200, b"<!doctype html><title>console</title>")
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


def test_a_name_with_a_hash_is_kept_for_ever(built: RealtimeServer) -> None:
    answer = built.get("/console/assets/index-Ab3_x-9Z.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert built.get("/console/favicon.svg").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0.0", None),
    ],
)
def test_a_file_goes_out_as_small_as_the_browser_takes_it(
    built: RealtimeServer, accepted: str, chosen: str | None
) -> None:
    answer = built.get("/console/assets/index-Ab3_x-9Z.js", accept_encoding=accepted)
    assert answer.headers.get("content-encoding") == chosen
    assert "Accept-Encoding" in answer.headers["vary"]
    if chosen != "br":
        assert (gzip.decompress(answer.body) if chosen else answer.body) == b"let a = 1"


def test_a_browser_that_has_it_is_told_so(built: RealtimeServer) -> None:
    tag = built.get("/console/").headers["etag"]
    answer = built.get("/console/", if_none_match=f'"other", W/{tag}')
    assert (answer.status, answer.body) == (304, b"")
    assert "script-src 'self'" in answer.headers["content-security-policy"], "it would take the place of the page's own"
    assert built.get("/console/", if_none_match='"other"').status == 200


def test_the_head_alone_can_be_asked_for(built: RealtimeServer) -> None:
    answer = request("HEAD", built.url + "/console/favicon.svg")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "6")


@pytest.mark.parametrize(
    "path",
    [
        "/console/../secret.txt",
        "/console/%2e%2e/secret.txt",
        "/console/..%2fsecret.txt",
        "/console/assets/..%2f..%2fsecret.txt",
        "/console//secret.txt",
        "/console/link.txt",
        "/console/assets/index-Ab3_x-9Z.js.gz",
        "/console/assets/missing.js",
        "/console/%00.txt",
    ],
)
def test_nothing_but_its_files_is_served(built: RealtimeServer, path: str) -> None:
    answer = built.get(path)
    assert answer.status == 404
    assert b"secret" not in answer.body


def test_without_a_built_page_there_are_words(dsn: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console_parts, "BUILT_PAGES", tmp_path / "missing")
        with realtime(dsn, slot="bare") as server:
            answer = server.get("/console/")
    assert (answer.status, b"make ui" in answer.body) == (200, True)
