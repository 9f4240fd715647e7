"""E-mails over real sockets: what a server is handed, and what it is not."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct

from tidewire.model.errors import ConfigurationError
from tidewire.server.mailer import ConsoleMailer, Mail, SmtpMailer

MAIL = Mail("ada@example.org", "Your link", "Follow this link:\n\nhttps://app.example/ä\n")


class Inbox(Struct):
    """A mail server that speaks as little SMTP as it can, without TLS."""

    port: int
    commands: list[str]
    data: list[str]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        in_data = False
        while line := (await reader.readline()).decode():
            if in_data:
                in_data = line != ".\r\n"
                self.data.append(line)
                if not in_data:
                    writer.write(b"250 kept\r\n")
                continue
            self.commands.append(line.strip())
            in_data = line.upper().startswith("DATA")
            writer.write(
                b"354 go on\r\n" if in_data else b"221 bye\r\n" if line.upper().startswith("QUIT") else b"250 fine\r\n"
            )
        writer.close()


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox(0, [], [])
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def test_a_server_is_handed_the_mail() -> None:
    async with inbox() as received:
        await SmtpMailer(f"smtp://127.0.0.1:{received.port}", "Tide <tide@example.org>").send(MAIL)
    assert "mail FROM:<tide@example.org>" in " ".join(received.commands)
    assert "rcpt TO:<ada@example.org>" in received.commands
    head = "".join(received.data).partition("\r\n\r\n")[0]
    assert {"From: Tide <tide@example.org>", "To: ada@example.org", "Subject: Your link"} <= set(head.split("\r\n"))


async def test_no_password_leaves_without_tls() -> None:
    async with inbox() as received:
        mailer = SmtpMailer(f"smtp://ada:top%20secret@127.0.0.1:{received.port}", "tide@example.org")
        with pytest.raises(smtplib.SMTPNotSupportedError) as raised:
            await mailer.send(MAIL)
    assert "secret" not in str(raised.value)
    assert not any("AUTH" in command.upper() for command in received.commands)
    assert not received.data


async def test_a_server_that_is_away_is_an_error_of_the_network() -> None:
    async with inbox() as received:
        port = received.port
    with pytest.raises(OSError, match=r"."):
        await SmtpMailer(f"smtp://127.0.0.1:{port}", "tide@example.org").send(MAIL)


@pytest.mark.parametrize("url", ["", "http://ada:secret@x", "smtp://", "smtp://ada:secret@x:port", "ada:secret@x"])
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SmtpMailer(url, "tide@example.org")
    assert "secret" not in str(raised.value)


async def test_development_shows_what_it_would_send() -> None:
    shown: list[str] = []
    await ConsoleMailer(shown.append).send(MAIL)
    assert MAIL.to in shown[0]
    assert MAIL.text in shown[0]
