"""`tidewire bench NAME`: runs one measurement and holds it against the needs; exit code 1 when one is not met."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tidewire import assemble
from tidewire.bench import bulk, changes, data, decode, fanout, latency, match, memory, restart, resume, rls, storm
from tidewire.bench.report import Report
from tidewire.cli.output import err, out, print_json

BENCHMARKS: dict[str, Callable[..., Report]] = {
    "bulk": bulk.run,
    "changes": changes.run,
    "data": data.run,
    "decode": decode.run,
    "fanout": fanout.run,
    "latency": latency.run,
    "match": match.run,
    "memory": memory.run,
    "restart": restart.run,
    "resume": resume.run,
    "rls": rls.run,
    "storm": storm.run,
}


class Name(StrEnum):
    """Which measurement."""

    BULK = "bulk"
    CHANGES = "changes"
    DATA = "data"
    DECODE = "decode"
    FANOUT = "fanout"
    LATENCY = "latency"
    MATCH = "match"
    MEMORY = "memory"
    RESTART = "restart"
    RESUME = "resume"
    RLS = "rls"
    STORM = "storm"


def bench(
    name: Annotated[Name, typer.Argument(help="What to measure.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A short form, for a first look.")] = False,
) -> None:
    """Measure on a throw-away server. Quote the ratios: they were taken in turn, so a noisy machine cancels out."""
    err.print(f"[dim]measuring {name}; this takes {'a few seconds' if quick else 'some minutes'}[/]")
    report = BENCHMARKS[name](quick=quick, bin_dir=assemble.settings().postgres_bin)
    if as_json:
        print_json(report)
    else:
        _print_table(report)
    if not report.ok:
        raise typer.Exit(1)


def _print_table(report: Report) -> None:
    table = Table("figure", "value", "need", box=None, header_style="dim")
    for name, value in {**report.figures, **report.ratios}.items():
        need = report.needs.get(name)
        table.add_row(name, f"{value:,.2f}", f"{need[0]} {need[1]:g}" if need else "")
    out.print(table)
    for name, reason in report.not_measured.items():
        out.print(f"[yellow]{name} not measured:[/] {escape(reason)}")
    out.print("[bold green]met[/]" if report.ok else "[bold red]not met[/]")
