"""Sends the e-mails that accounts need: to the log while developing, through SMTP otherwise."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import structlog
from msgspec import Struct

from tidewire.model.errors import ConfigurationError

log = structlog.get_logger()

TIMEOUT_S: Final = 20.0
PORTS: Final = {"smtp": 587, "smtps": 465}


class Mail(Struct, frozen=True):
    """An e-mail in plain text."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Sends one e-mail at a time."""

    async def send(self, mail: Mail) -> None:
        """Return when it was handed over. Raises OSError when it could not be."""
        ...


class ConsoleMailer:
    """Shows what would be sent. Only for development: the links sign people in."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _show

    async def send(self, mail: Mail) -> None:
        self._write(f"--- e-mail to {mail.to}: {mail.subject}\n{mail.text}\n---")


def _show(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - at once, also where the output is a file


class SmtpMailer:
    """Hands e-mails to a server: `smtp://user:password@host:587` with STARTTLS, or `smtps://…` with TLS at once."""

    def __init__(self, url: str, sender: str) -> None:
        """Raise ConfigurationError for an address that is none; it is not repeated, for it holds a password."""
        try:
            address = urlsplit(url)
            self._port = address.port or PORTS[address.scheme]
            self._host = address.hostname or ""
        except (ValueError, KeyError):
            self._host = ""
        if not self._host:
            raise ConfigurationError(
                "reading smtp_url: expected smtp:// or smtps:// with a host, got another",
                hint="for example smtps://user:password@mail.example.com",
            )
        self._implicit_tls = address.scheme == "smtps"
        self._user, self._password = unquote(address.username or ""), unquote(address.password or "")
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, mail.to, mail.subject
        message.set_content(mail.text)
        await asyncio.to_thread(self._deliver, message)

    def _deliver(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self._implicit_tls:
            with smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=context) as server:
                self._hand_over(server, message)
            return
        with smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S) as server:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
            elif self._password:
                raise smtplib.SMTPNotSupportedError("the server offers no TLS, so it gets no password")
            self._hand_over(server, message)

    def _hand_over(self, server: smtplib.SMTP, message: EmailMessage) -> None:
        if self._user:
            server.login(self._user, self._password)
        server.send_message(message)
