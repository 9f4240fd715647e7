"""Which token a channel lives on, when the next one may be looked at, and when time is up. Verifies no token."""

from math import inf

from tidewire.model.reasons import Reason, token_expired


class ChannelToken:
    """Offer it what the client sends, and ask about a token only when `is_due`.

    The first new token is looked at immediately, further ones after the interval. At its expiry a channel takes what it
    was last offered, whatever the interval: a client that renewed in time is not punished for having done so twice.
    """

    __slots__ = ("_asked_at_s", "_current", "_expires_at_s", "_interval_s", "_offered")

    def __init__(self, token: str, *, interval_s: float) -> None:
        self._interval_s = interval_s
        self._current = token
        self._offered: str | None = None
        self._asked_at_s = -inf
        self._expires_at_s = inf

    @property
    def is_offered(self) -> bool:
        """Whether there is a new token that nobody has asked about yet."""
        return self._offered is not None

    @property
    def expires_at_s(self) -> float:
        """When the granted token ends."""
        return self._expires_at_s

    @property
    def current(self) -> str:
        """The token that was asked about last."""
        return self._current

    def offer(self, token: str | None) -> None:
        """Take note of a token; None is none. Of several the last one counts, also when it is the current one."""
        if token is not None:
            self._offered = None if token == self._current else token

    def is_due(self, now_s: float) -> bool:
        """Say whether there is a new token and it is time to ask about it: then call `ask`."""
        waited = now_s >= self._asked_at_s + self._interval_s or now_s >= self._expires_at_s
        return waited and self._offered is not None

    def ask(self, now_s: float) -> str:
        """Make the offered token the current one and return it. Its expiry is the old one's until `granted`."""
        self._current, self._offered = self._offered or self._current, None
        self._asked_at_s = now_s
        return self._current

    def granted(self, expires_at_s: float) -> None:
        """Live until then."""
        self._expires_at_s = expires_at_s

    def expiry(self, now_s: float) -> Reason | None:
        """Return why the channel must end now, or None."""
        return expired(self._expires_at_s, now_s)

    def asked_within(self, seconds: float, now_s: float) -> bool:
        """Say whether the last question is so young that its answer may still be on its way."""
        return now_s < self._asked_at_s + seconds


def expired(expires_at_s: float, now_s: float) -> Reason | None:
    """Return why a token is of no use any more, or None while it is."""
    return token_expired(int(now_s - expires_at_s)) if expires_at_s <= now_s else None
