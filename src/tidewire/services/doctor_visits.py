"""What doctor finds in the database of a running server, for operators, and the one way to have a fix run."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from tidewire.postgres import repairs
from tidewire.postgres.doctor import gather
from tidewire.postgres.doctor_facts import Facts
from tidewire.postgres.finding import Finding
from tidewire.postgres.findings import examine


class Found(Struct, frozen=True):
    """One finding; `runnable` says whether its fix can be run by its id."""

    id: str
    code: str
    severity: str
    message: str
    fix: str
    table: str | None
    runnable: bool


class DoctorVisits:
    """One look and one repair at a time: both ask much of the catalog."""

    def __init__(
        self, dsn: str, *, slot: str, publications: Sequence[str], retention_bytes: int, mended: Callable[[], None]
    ) -> None:
        """`mended` is called after each repair: what was known of the database may be out of date."""
        self._dsn = dsn
        self._gather = partial(gather, dsn, slot=slot, publications=publications, retention_bytes=retention_bytes)
        self._mended = mended
        self._turn = asyncio.Lock()

    async def facts(self) -> Facts:
        """Look at the database. Raises our errors."""
        async with self._turn:
            return await asyncio.to_thread(self._gather)

    async def findings(self) -> list[Found]:
        """Return what there is to say, the worst as well as what is fine. Raises our errors."""
        return [_shown(finding) for finding in examine(await self.facts())]

    async def fix(self, id_: str) -> Sequence[str] | None:
        """Run the fix of a finding that is still there, and return its statements; None if there is none to run."""
        found = {repairs.finding_id(finding): finding for finding in examine(await self.facts())}
        finding = found.get(id_)
        if finding is None or not repairs.statements_of(finding.fix):
            return None
        async with self._turn:
            try:
                return await asyncio.to_thread(repairs.run, self._dsn, finding)
            finally:
                self._mended()


def _shown(finding: Finding) -> Found:
    return Found(
        repairs.finding_id(finding),
        finding.code,
        str(finding.severity),
        finding.message,
        finding.fix,
        finding.table,
        bool(repairs.statements_of(finding.fix)),
    )
