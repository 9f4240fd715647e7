"""What a role sees of a change once it is known which of its rows it may see. The same for all of its audiences."""

from typing import Final

from msgspec import Struct

from tidewire.match.candidates import Ask
from tidewire.match.rule import Rule, TableAccess
from tidewire.match.subscription import ANY
from tidewire.model.change import Change, Operation
from tidewire.model.relation import Relation


class Sight(Struct, frozen=True):
    """What of a change may be seen: some `columns` of the new row, or all with None, and of the old one `old_columns`.

    `new` and `old` say which of the rows may be seen at all. With `errors` nothing but those is shown.
    """

    columns: tuple[str, ...] | None = None
    errors: tuple[str, ...] = ()
    old_columns: tuple[str, ...] | None = None
    new: bool = True
    old: bool = True


_MOST_KEPT: Final = 4096
_ALL: Final = Sight()
_UNAUTHORIZED: Final = Sight(errors=("Error 401: Unauthorized",))
_NO_KEY: Final = Sight(errors=("Error 400: Bad Request, no primary key",))


def see(rule: Rule, change: Change, *, new: bool = True, old: bool = True) -> Sight | None:
    """Return what the role sees, if the policies show it these rows; None hides the change.

    Of an old row that policies keep from it, and of one that is deleted under policies, it sees the key.
    """
    access, operation = rule.access, change.operation
    if operation == "TRUNCATE":  # shows no row, so a key is not needed, but some right to read is
        return _ALL if access.columns else None
    if operation == "INSERT":
        old = new  # there is no other row
    elif operation == "DELETE":
        new = old
    # Who may read nothing, and is bound by policies, is not told either that something happened.
    if not (new or old) or not (access.columns or access.unrestricted):
        return None
    error = _error(access)
    if error is not None:
        return error if new and not (error is _UNAUTHORIZED and operation == "DELETE") else None
    relation = change.relation
    names = tuple(column.name for column in relation.columns)
    seen = tuple(name for name in names if name in access.columns)
    columns = None if seen == names else seen
    if rule.restriction is None and new and old:
        return _ALL if columns is None else Sight(columns, old_columns=columns)
    key = tuple(column.name for column in relation.columns if column.primary)
    whole = old and new and operation == "UPDATE"
    return Sight(columns, (), columns if whole else key, new=new, old=old)


def _error(access: TableAccess) -> Sight | None:
    if not access.has_key:
        return _NO_KEY
    return None if access.sees_key else _UNAUTHORIZED


def told_as(change: Change, sight: Sight, *, moves: str = "") -> Operation | None:
    """Return what a change is to readers with this sight, if anything.

    Give those who follow `moves` the event that they asked for: to them a row may come or go.
    """
    if change.operation != "UPDATE":
        return change.operation
    if not moves or change.relation.identity != "full":  # nobody can tell whether the row was in sight
        return "UPDATE" if sight.new else None
    told: Operation = "UPDATE" if sight.new and sight.old else "INSERT" if sight.new else "DELETE"
    return told if moves in (told, ANY) else None


class Sights:
    """Says what `see` does, and works it out once for each rule and shape of a table."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Rule, int, Operation, bool, bool], tuple[Relation, Sight | None]] = {}

    def answer(self, ask: Ask) -> Sight | None:
        """Answer a question about which nothing is in doubt."""
        if ask.rule is None:
            return None
        return self.see(ask.rule, ask.change, new=ask.new is not None, old=ask.old is not None)

    def see(self, rule: Rule, change: Change, *, new: bool = True, old: bool = True) -> Sight | None:
        """Return what the role sees, as the function of that name does."""
        key = (rule, id(change.relation), change.operation, new, old)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            # Holding the relation keeps its identity from being reused.
            kept = self._kept[key] = (change.relation, see(rule, change, new=new, old=old))
        return kept[1]
