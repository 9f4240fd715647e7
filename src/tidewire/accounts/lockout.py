"""Decides how long an account stays locked after failed sign-ins. Counts nothing, and has no clock."""

from typing import Final

from msgspec import Struct


class Failures(Struct, frozen=True):
    """How often in a row it failed, and how long ago that was for the last time."""

    count: int
    age_s: float


class Lock(Struct, frozen=True):
    """After `free` failures, each further one doubles the time in which no attempt is looked at."""

    free: int
    first_s: float
    longest_s: float

    @property
    def forgets_s(self) -> float:
        """After so long without a failure, counting begins anew."""
        return 2 * self.longest_s

    def wait_s(self, failures: Failures) -> float:
        """Say how long the lock holds from now on; 0 when it does not."""
        if failures.count < self.free:
            return 0.0
        locked_s = min(self.longest_s, self.first_s * 2.0 ** min(failures.count - self.free, 20))
        return max(0.0, locked_s - failures.age_s)

    def count(self, failures: Failures) -> int:
        """Return how many failures there are with one more."""
        return 1 if failures.age_s > self.forgets_s else failures.count + 1


FOR_ADDRESS: Final = Lock(free=5, first_s=5.0, longest_s=900.0)
"""Of one account, for who comes from one address on the network."""
FOR_ACCOUNT: Final = Lock(free=50, first_s=1.0, longest_s=60.0)
"""For everybody. Whoever guesses from many addresses must not be able to lock the owner out for long."""
KEPT_S: Final = max(FOR_ADDRESS.forgets_s, FOR_ACCOUNT.forgets_s)
"""What is older counts for nothing and may be deleted."""
