"""The text of the embedded server's configuration files."""

import pytest

from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres.embedded_config import ServerFiles, hba_conf, ident_conf, server_conf

FILES = ServerFiles(data="/d/pgdata", hba="/d/conf/pg_hba.conf", ident="/d/conf/pg_ident.conf", sockets="/d/run")


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_the_data_folders_own_file_comes_first_so_that_ours_wins() -> None:
    assert lines(server_conf(FILES, port=None, settings={}))[1] == "include '/d/pgdata/postgresql.conf'"


def test_without_a_port_nothing_listens_on_tcp() -> None:
    text = lines(server_conf(FILES, port=None, settings={}))
    assert "listen_addresses = ''" in text
    assert "port = '5432'" in text


def test_a_port_is_opened_on_loopback_only() -> None:
    text = lines(server_conf(FILES, port=6000, settings={}))
    assert "listen_addresses = '127.0.0.1'" in text
    assert "port = '6000'" in text


def test_the_caller_may_change_defaults_but_not_who_gets_in() -> None:
    text = lines(server_conf(FILES, port=None, settings={"shared_buffers": "1GB", "hba_file": "/elsewhere"}))
    assert "shared_buffers = '1GB'" in text
    assert "shared_buffers = '128MB'" not in text
    assert "hba_file = '/d/conf/pg_hba.conf'" in text


def test_quotes_and_backslashes_are_escaped_for_the_file_and_for_the_list_of_folders() -> None:
    odd = ServerFiles(data="/it's", hba="/a\\b", ident="/i", sockets='/say "hi", it\'s')
    text = lines(server_conf(odd, port=None, settings={}))
    assert text[1] == "include '/it''s/postgresql.conf'"
    assert "hba_file = '/a\\\\b'" in text
    assert 'unix_socket_directories = \'"/say ""hi"", it\'\'s"\'' in text


@pytest.mark.parametrize("value", ["a\nlisten_addresses = '*'", "a\0b", "\r"])
def test_a_value_cannot_begin_a_line_of_its_own(value: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match="control character"):
        server_conf(FILES, port=None, settings={"work_mem": value})


def test_nobody_gets_in_without_a_password_but_the_mapped_accounts() -> None:
    rules = [line.split() for line in lines(hba_conf()) if not line.startswith("#")]
    for rule in rules:
        assert rule[-1] == ("map=tidewire" if rule[0] == "local" and rule[2] == "postgres" else "scram-sha-256")
        assert rule[0] == "local" or rule[3] == "127.0.0.1/32"


def test_account_names_are_quoted() -> None:
    assert lines(ident_conf(['o"dd name', "nobody"]))[1:] == [
        'tidewire  "nobody"  postgres',
        'tidewire  "o""dd name"  postgres',
    ]
