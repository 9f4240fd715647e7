"""What operators see of the log: what was named, and nothing else."""

import json

import pytest
import structlog

from tidewire.cli.logs import Level, configure
from tidewire.services.event_log import LONGEST_CHARS, MOST_CODES, MOST_KEPT, listening


def test_only_what_is_listed_is_kept() -> None:
    log = structlog.get_logger()
    with listening() as heard:
        log.warning("policy_failed", role="anon", sqlstate="22012", payload="secret", token="secret")
        log.info("console_signed_in")
    log.error("afterwards")
    first, second = heard.events()
    assert (first.level, first.event, first.code) == ("warning", "policy_failed", "policy_failed")
    assert first.details == {"role": "anon", "sqlstate": "22012"}
    assert (second.event, second.number) == ("console_signed_in", first.number + 1)
    assert heard.events(after=first.number) == [second]
    assert heard.errors == {"policy_failed": 1}


def test_errors_count_by_their_code() -> None:
    log = structlog.get_logger()
    with listening() as heard:
        for _ in range(2):
            log.error("upkeep_failed", code="DatabaseUnreachable")
        try:
            int("secret")
        except ValueError:
            log.exception("question_failed")
    assert heard.errors == {"DatabaseUnreachable": 2, "question_failed": 1}
    assert heard.events()[-1].level == "error"
    assert "secret" not in repr(heard.events())


def test_it_is_bounded() -> None:
    log = structlog.get_logger()
    with listening() as heard:
        for number in range(MOST_KEPT + 10):
            log.warning("same", code=str(number), reason="x" * 10_000)
    assert len(heard.events()) == MOST_KEPT
    assert len(str(heard.events()[0].details["reason"])) == LONGEST_CHARS
    assert len(heard.errors) == MOST_CODES


def test_processors_of_ones_own_stay_in_their_places() -> None:
    structlog.configure(processors=(structlog.processors.add_log_level, structlog.processors.JSONRenderer()))
    with listening() as heard, structlog.testing.capture_logs():
        structlog.get_logger().info("unheard")  # whoever captures takes the others out of the list
    with listening() as again:
        structlog.get_logger().info("heard")
    assert [each.event for each in again.events()] == ["heard"]
    assert heard.events() == []
    assert len(structlog.get_config()["processors"]) == 2


def test_operators_see_more_than_standard_error_says(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Level.WARNING)
    log = structlog.get_logger()
    with listening() as heard:
        log.debug("detail")
        log.info("handshake_refused", status=401)
        log.warning("mail_failed")
        log.error("question_failed")
    assert [each.event for each in heard.events()] == ["handshake_refused", "mail_failed", "question_failed"]
    said = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert said == ["mail_failed", "question_failed"]
