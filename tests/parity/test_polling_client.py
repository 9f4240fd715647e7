"""Stock supabase-js, told to poll as Phoenix's clients can, finds everything that it finds over a WebSocket."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.parity.installed import find_node, install_packages
from tests.parity.serving import TidewireServer, token
from tests.support.log import execute

SCRIPT = Path(__file__).parent / "js" / "polling.mjs"
LIMIT_S = 30.0


def test_a_client_that_polls_joins_tracks_sends_and_follows(
    request: pytest.FixtureRequest, own_tidewire: TidewireServer
) -> None:
    assert request.config.cache is not None
    packages = install_packages(request.config.cache.mkdir("parity"))
    execute(
        own_tidewire.database_url,
        "create table polled (id int primary key)",
        "grant all on polled to anon",
        "alter publication supabase_realtime add table polled",
    )
    node = find_node(packages, "node-newest")
    result = subprocess.run(
        [node, SCRIPT, packages, "supabase-js-newest", own_tidewire.url, token(role="anon")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["broadcasts"] == [{"number": number} for number in range(121)]
    assert told["changes"] == [{"id": 1}, {"id": 2}]
    assert told["joined"] == ["ada"]
    assert (told["statuses"], told["tracked"], told["sent"], told["left"]) == (["SUBSCRIBED"] * 2, "ok", "ok", "ok")
