"""`tidewire top`: what a running server is doing, read from its /metrics: as it changes, or once as JSON."""

import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import typer
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from rich.live import Live
from rich.table import Table

from tidewire.cli.output import out, print_json
from tidewire.model.errors import ConfigurationError

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1024 * 1024
PREFIX: Final = "tidewire_"
ELSEWHERE: Final = "start `tidewire serve`, or name where it is with --url"

STANDING: Final = ("connections", "channels", "topics", "subscriptions", "presences")
MOVING: Final = {
    "connections_opened": "connections opened",
    "broadcasts": "broadcasts",
    "broadcast_deliveries": "broadcasts delivered",
    "changes": "row changes",
    "change_deliveries": "row changes delivered",
    "presence_diffs": "presence diffs",
    "connections_slow": "slow clients sent away",
}
RETAINED: Final = {
    "retained_bytes": ("log kept for who comes back", 2**20, "MB"),
    "retained_seconds": ("age of that log", 1, "s"),
    "log_headroom_bytes": ("log until the slot is lost", 2**20, "MB"),
}


class Sample(Struct, frozen=True):
    """All figures of a server at one moment, by name; those that only grow end in `_total`."""

    taken_at_s: float
    values: Mapping[str, float]
    events: Mapping[str, float]


class Report(Struct, frozen=True):
    """What `--json` prints: figures as they are, and how fast the growing ones grow, per second."""

    live: bool
    draining: bool
    figures: Mapping[str, float]
    totals: Mapping[str, float]
    per_s: Mapping[str, float]
    last_change_age_s: float | None
    lag_ms: float | None
    retained: Mapping[str, float]
    events: Mapping[str, float]


def top(
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:4000",
    token: Annotated[
        str | None, typer.Option(envvar="TIDEWIRE_TOKEN", help="Token of the service role; production demands it.")
    ] = None,
    interval_s: Annotated[float, typer.Option(min=0.1, max=60.0, help="Time between two looks, in seconds.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Look twice, print one JSON document and stop.")] = False,
) -> None:
    """Show how many clients and channels there are, how much flows, and how far changes are behind."""
    earlier = fetch(url, token)
    time.sleep(interval_s)
    if as_json:
        print_json(compare(earlier, fetch(url, token)))
        return
    with Live(console=out, auto_refresh=False, screen=True) if out.is_terminal else nullcontext() as live:
        while True:
            later = fetch(url, token)
            table = _table(url, compare(earlier, later))
            if live is not None:
                live.update(table, refresh=True)
            else:  # one below the other, for a file or a pipe
                out.print(table)
                sys.stdout.flush()
            earlier = later
            time.sleep(interval_s)


def fetch(url: str, token: str | None) -> Sample:
    """Ask the server once. Raises ConfigurationError when nothing of ours answers at this address."""
    address = urlsplit(url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigurationError(
            "reading --url: expected http:// or https://", hint="for example http://127.0.0.1:4000"
        )
    request = urllib.request.Request(f"{url.rstrip('/')}/metrics")  # noqa: S310 - http and https only, see above
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
            return read_sample(response.read(MAX_BYTES).decode(), time.time())
    except HTTPError as error:
        error.close()
        hint = "pass a --token made by `tidewire token --role service_role`" if error.code == 401 else ELSEWHERE
        raise ConfigurationError(f"asking {url}: expected metrics, got HTTP {error.code}", hint=hint) from None
    except (OSError, URLError, ValueError) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or type(reason).__name__
        raise ConfigurationError(f"asking {url}: expected metrics, got {words}", hint=ELSEWHERE) from None


def read_sample(text: str, now_s: float) -> Sample:
    """Read the text format. Raises ValueError when it is none."""
    values, events = dict[str, float](), dict[str, float]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            if "event" in sample.labels:
                events[sample.labels["event"]] = sample.value
            elif name != sample.name:
                values[name] = sample.value
    if "connections" not in values:
        raise ValueError("no figures of Tidewire")
    return Sample(now_s, values, events)


def compare(earlier: Sample, later: Sample) -> Report:
    """Work out rates. A server that has started anew in between has counted from zero."""
    elapsed_s = max(later.taken_at_s - earlier.taken_at_s, 1e-6)
    totals = {name: later.values.get(f"{name}_total", 0.0) for name in MOVING}
    before = {name: earlier.values.get(f"{name}_total", 0.0) for name in MOVING}
    committed_at_s = later.values.get("last_commit_timestamp_seconds", 0.0)
    return Report(
        live=bool(later.values.get("live")),
        draining=bool(later.values.get("draining")),
        figures={name: later.values.get(name, 0.0) for name in STANDING},
        totals=totals,
        per_s={name: max(totals[name] - before[name], 0.0) / elapsed_s for name in MOVING},
        lag_ms=later.values.get("change_lag_seconds", 0.0) * 1000 if committed_at_s else None,
        retained={name: later.values[name] for name in RETAINED if name in later.values},
        last_change_age_s=max(later.taken_at_s - committed_at_s, 0.0) if committed_at_s else None,
        events=later.events,
    )


def _table(url: str, report: Report) -> Table:
    state = "stopping" if report.draining else "live" if report.live else "not following the database"
    table = Table("", "now", "per second", "in all", title=f"{url}  {state}", box=None, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value in report.figures.items():
        table.add_row(name, f"{value:,.0f}")
    for name, words in MOVING.items():
        table.add_row(words, "", f"{report.per_s[name]:,.1f}", f"{report.totals[name]:,.0f}")
    if report.last_change_age_s is not None and report.lag_ms is not None:
        table.add_row("last change", f"{report.last_change_age_s:,.1f} s ago")
        table.add_row("its way from commit to clients", f"{report.lag_ms:,.1f} ms")
    for name, (words, divisor, unit) in RETAINED.items():
        if name in report.retained:
            table.add_row(words, f"{report.retained[name] / divisor:,.0f} {unit}")
    for name, value in report.events.items():
        table.add_row(name.replace("_", " "), "", "", f"{value:,.0f}", style="yellow")
    return table
