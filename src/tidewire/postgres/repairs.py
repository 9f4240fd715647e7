"""Runs a fix that doctor proposes, if it is one that needs no thought of a person. Runs no other SQL.

A fix is text for people: what has a remark in it, or is a command, wants to be read and is not run from here.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import structlog

from tidewire.postgres import queries
from tidewire.postgres.connection import connect, translated
from tidewire.postgres.finding import Finding

log = structlog.get_logger()

_BEGINNINGS: Final = ("ALTER ", "CREATE ", "GRANT ", "DO ", "SELECT ")


def finding_id(finding: Finding) -> str:
    """Return a name that stands for this fix and no other: what is run is what was shown."""
    said = "\0".join((finding.code, finding.table or "", finding.fix))
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def statements_of(fix: str) -> tuple[str, ...]:
    """Return the statements of a fix, one a line; none if a person has to read it.

    A name with a line break in it leaves a quote open at the end of a line. Its parts are no statements, whatever
    whoever chose the name has made them look like.
    """
    lines = fix.split("\n")
    return tuple(lines) if all(map(_is_statement, lines)) else ()


def _is_statement(line: str) -> bool:
    is_whole = line.count('"') % 2 == 0 and line.count("'") % 2 == 0 and "--" not in line and "/*" not in line
    return is_whole and line.startswith(_BEGINNINGS) and line.endswith(";")


def run(dsn: str, finding: Finding) -> Sequence[str]:
    """Run a fix statement by statement, and return them. Raises our errors; those before the one that failed stand."""
    statements = statements_of(finding.fix)
    with closing(connect(dsn)) as connection, translated(f"mending {finding.code}"):
        connection.execute(queries.load("repairs_session"))
        for statement in statements:
            log.info("finding_fixed", finding=finding.code, table=finding.table)
            connection.execute(statement.encode())
    return statements
