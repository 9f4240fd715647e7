"""Writes the same bytes to many sockets: in C where that was compiled, and otherwise in a loop that does the same.

Neither sends what is left over: whoever owns the sockets knows what is to become of it.
"""

import os
from array import array
from collections.abc import Callable
from typing import Final

SendAll = Callable[["array[int]", bytes], list[tuple[int, int]]]
"""Takes descriptors of non-blocking sockets as C ints, and a packet. Returns the places of those that took less than
all of it, each with the bytes that it took: 0 if it is full or broken. No descriptor may be closed meanwhile."""


def send_each(descriptors: "array[int]", packet: bytes) -> list[tuple[int, int]]:
    """Stand in for the compiled `send_all`; send what it lists by other means."""
    size, short = len(packet), []
    for place, descriptor in enumerate(descriptors):
        try:
            sent = os.write(descriptor, packet)
        except OSError:  # full, or broken: whoever sends the rest finds out
            sent = 0
        if sent != size:
            short.append((place, sent))
    return short


try:
    from _tidewire_send import send_all as _compiled
except ImportError:  # installed where there was no C compiler
    _compiled = send_each

send_all: Final[SendAll] = _compiled
IS_COMPILED: Final = send_all is not send_each
