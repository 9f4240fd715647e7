"""What an operator asks about the database: tables, why a row does not arrive, and what doctor finds and can mend."""

from http import HTTPStatus

import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.server.console_door import ConsoleDoor, ConsoleRefused, Endpoint, answer
from tidewire.services.doctor_visits import DoctorVisits
from tidewire.services.table_sights import TableSights
from tidewire.services.verdict import Verdicts
from tidewire.services.verdict_values import VerdictWish

log = structlog.get_logger()


class Inspection(Struct, frozen=True):
    """Who knows the answers."""

    verdicts: Verdicts
    tables: TableSights
    doctor: DoctorVisits


class ConsoleInspectApi:
    """Give `endpoints` to the router."""

    def __init__(self, door: ConsoleDoor, inspection: Inspection) -> None:
        self._door = door
        self._ask = inspection

    def endpoints(self) -> list[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        door = self._door
        return [
            ("POST", "/verdict", door.guarded(self._verdict)),
            ("GET", "/tables", door.guarded(self._tables)),
            ("GET", "/tables/{schema}/{table}", door.guarded(self._table)),
            ("GET", "/doctor", door.guarded(self._doctor)),
            ("POST", "/doctor/{id}/fix", door.guarded(self._fix)),
        ]

    async def _verdict(self, request: Request) -> Response:
        """Say why a row does or does not reach somebody."""
        wish = await self._door.read(request, VerdictWish)
        return answer(await self._ask.verdicts.verdict(wish))

    async def _tables(self, _request: Request) -> Response:
        """List what is published."""
        return answer({"tables": await self._ask.tables.all(await self._ask.doctor.facts())})

    async def _table(self, request: Request) -> Response:
        """Say how roles stand to one table."""
        schema, table = request.path_params["schema"], request.path_params["table"]
        roles = await self._ask.tables.roles(schema, table)
        if roles is None:
            raise ConsoleRefused(
                HTTPStatus.NOT_FOUND, "UnknownTable", "there is no such table in the publications", "publish it first"
            )
        return answer({"roles": roles})

    async def _doctor(self, _request: Request) -> Response:
        """Tell what keeps changes from arriving, and the SQL that mends it."""
        return answer({"findings": await self._ask.doctor.findings()})

    async def _fix(self, request: Request) -> Response:
        """Run a fix by its id: no text of a browser ever becomes SQL."""
        ran = await self._ask.doctor.fix(request.path_params["id"])
        if ran is None:
            raise ConsoleRefused(
                HTTPStatus.NOT_FOUND,
                "NoSuchFix",
                "there is no finding with this id any more, or its fix is for a person to read",
                "ask for the findings again",
            )
        return answer({"ran": ran})
