"""How long to wait before the next attempt. Pure: the caller brings the randomness."""


def backoff_s(attempt: int, chance: float, *, first_s: float = 0.1, most_s: float = 5.0) -> float:
    """Return a delay between half and the whole of an exponentially growing step; `chance` is in [0, 1)."""
    step = min(most_s, first_s * 2.0 ** min(attempt, 30))
    return step * (0.5 + chance / 2)
