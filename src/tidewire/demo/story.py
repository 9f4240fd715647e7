"""Decides what happens next in the marketplace: the same story for the same seed. Writes nothing and knows no time."""

import random
from typing import Final

from msgspec import Struct

SCENES: Final = {
    "book": 10,
    "confirm": 9,
    "complete": 8,
    "cancel": 1,
    "review": 5,
    "dispute": 1,
    "settle": 1,
    "read": 4,
    "forget": 1,
}
"""Each with how often it happens; a script of this name carries it out."""

KEPT_BOOKINGS: Final = 20_000
"""More than the year has, so that only a demo that runs for hours forgets any."""

TENANTS: Final = {"marea": 3, "sierra": 2}
CUSTOMERS, PROFESSIONALS = 240, 20
WORDS: Final = ("Just right.", "On time and kind.", "I will come back.", "Good, a little late.", "Splendid.")
REASONS: Final = ("nobody came", "charged twice", "far too late", "not what was agreed")


class Scene(Struct, frozen=True):
    """One transaction: the script and its parameters."""

    script: str
    values: dict[str, str | int]


class Story:
    """Ask for the next scene again and again."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a story, not a secret

    def next_scene(self) -> Scene:
        """Return what happens next. All values are drawn each time, so that one scene does not change the others."""
        dice = self._dice
        values: dict[str, str | int] = {
            "tenant": dice.choices(tuple(TENANTS), tuple(TENANTS.values()))[0],
            "customer": 1 + _favourite(dice.random(), CUSTOMERS),
            "professional": 1 + _favourite(dice.random(), PROFESSIONALS),
            "minutes": dice.randint(5, 60),
            "stars": dice.choices((5, 4, 3, 2), (12, 6, 2, 1))[0],
            "words": dice.choice(WORDS),
            "reason": dice.choice(REASONS),
            "kept": KEPT_BOOKINGS,
        }
        return Scene(dice.choices(tuple(SCENES), tuple(SCENES.values()))[0], values)

    def pause(self, mean_s: float) -> float:
        """Return how long to wait before the next scene: uneven, as people are."""
        return self._dice.uniform(0.2, 1.8) * mean_s


def _favourite(chance: float, count: int) -> int:
    """Choose among `count`; the first is chosen about once in six, so that its window has something to show."""
    return 0 if chance < 1 / 6 else int((chance * 6 - 1) / 5 * count)
