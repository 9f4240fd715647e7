"""The database of the delivery machine: it answers by the newest state of a `Log`, when the test lets it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Final, Literal

from tests.support.delivery_log import TABLES, TEXT, Log
from tidewire.filters.texts import rules
from tidewire.match.policy_compile import with_keys
from tidewire.match.policy_tree import ClaimText, ColumnValue, Compare
from tidewire.match.rule import Restriction, Rule, TableAccess
from tidewire.match.subscription import Audience
from tidewire.model.change import Row
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.testing.tables import OpenVisibility, ScriptedTables, opaque_rule, open_rule

ROLE: Final = "authenticated"
Question = Literal["end of the log", "rules", "rows"]
OWN: Final = Compare("=", ColumnValue(1, TEXT), ClaimText(("sub",), TEXT), rules(TEXT, "C"))


class Database(ScriptedTables, OpenVisibility):
    """Answers by the log's newest state, each kind of question once its gate is open."""

    def __init__(self, log: Log) -> None:
        super().__init__(list(TABLES.values()), roles=(ROLE,))
        self._log = log
        self.gates: dict[Question, asyncio.Event] = {
            "end of the log": asyncio.Event(),
            "rules": asyncio.Event(),
            "rows": asyncio.Event(),
        }
        for gate in self.gates.values():
            gate.set()

    async def log_end(self) -> Lsn:
        end = self._log.end
        await self.gates["end of the log"].wait()
        return end

    async def read(self, role: str, relation: Relation, *, after_xid: int | None = None) -> Rule | None:  # noqa: ARG002 - the contract's parameters
        stance = self._log.stances[relation.name][-1]
        await self.gates["rules"].wait()
        if stance in {"open", "hidden"}:
            return open_rule(role, relation) if stance == "open" else None
        if stance == "asked":
            return opaque_rule(role, relation)
        access = TableAccess(frozenset({"id", "owner"}), has_key=True, sees_key=True, unrestricted=False)
        return Rule(role, access, Restriction("own", frozenset({"owner"})), with_keys(role, (OWN,)))

    async def seers(
        self,
        rule: Rule,  # noqa: ARG002 - the contract's parameters
        relation: Relation,  # noqa: ARG002 - as above
        rows: Sequence[Row],
        audiences: Sequence[Audience],
    ) -> list[list[int]]:
        await self.gates["rows"].wait()
        users = [json.loads(each.claims[0][1])["sub"] for each in audiences]
        return [[number for number, user in enumerate(users) if user == row[1]] for row in rows]
