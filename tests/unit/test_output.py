"""Messages are printed as they are: names in them may look like markup or like terminal commands."""

import pytest

from tidewire.cli.output import complain
from tidewire.model.errors import UnknownTable


def test_names_that_look_like_markup_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    complain(UnknownTable("looking for tables: got public.[/red][bold]", hint="check [/] it"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "error UnknownTable: looking for tables: got public.[/red][bold]",
        "fix   check [/] it",
    ]
