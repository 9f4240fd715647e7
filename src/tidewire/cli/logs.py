"""Where log lines go: stderr, so that stdout stays clean for data; words on a terminal, JSON for programs."""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog
from structlog.typing import Processor


class Level(StrEnum):
    """How much is said."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(level: Level) -> None:
    """Set up structlog for this process. Call once, before anything logs.

    What is of the level info passes the first processors in any case, where the console hears it.
    """
    human = sys.stderr.isatty()
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            _from(least),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(least, logging.INFO)),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the stderr of the moment, should it be replaced
    )


def _from(least: int) -> Processor:
    """Let nothing pass that is of a lower level."""
    levels = {**logging.getLevelNamesMapping(), "EXCEPTION": logging.ERROR}

    def drop(_logger: Any, method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if levels.get(method.upper(), logging.CRITICAL) < least:
            raise structlog.DropEvent
        return said

    return drop
