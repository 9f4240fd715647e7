"""Settings merge in one order, refuse what they do not know, and never show a secret."""

import pytest

from tidewire.model.errors import ConfigurationError
from tidewire.settings import Settings, load


def test_defaults_need_nothing() -> None:
    assert load() == Settings()


def test_flags_win_over_environment_over_file() -> None:
    text = 'slot = "file"\ndata_dir = "file"\nqueue_bytes = 1'
    settings = load(text, {"TIDEWIRE_SLOT": "env", "TIDEWIRE_DATA_DIR": "env"}, {"slot": "flag", "data_dir": None})
    assert (settings.slot, settings.data_dir, settings.queue_bytes) == ("flag", "env", 1)


def test_environment_values_take_their_type() -> None:
    environ = {
        "TIDEWIRE_POSTGRES_PORT": "5433",
        "TIDEWIRE_FAILOVER_SLOT": "true",
        "TIDEWIRE_HISTORY_AGE_S": "1.5",
        "TIDEWIRE_PUBLICATIONS": "one,two",
        "TIDEWIRE_CORS_ORIGINS": "https://a.example,https://b.example",
        "TIDEWIRE_EVENTS_PER_S": "2500",
        "DATABASE_URL": "postgresql://u:secret@h/d",
    }
    settings = load("", environ)
    assert settings.postgres_port == 5433
    assert settings.failover_slot is True
    assert settings.history_age_s == 1.5
    assert settings.publications == ("one", "two")
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.events_per_s, settings.joins_per_s) == (2500.0, None)
    assert settings.database_url == "postgresql://u:secret@h/d"


@pytest.mark.parametrize(
    ("text", "environ", "named"),
    [
        ("slto = 'x'", {}, "slto"),
        ("slot = 5", {}, "slot"),
        ("slot = ", {}, "tidewire.toml"),
        ("", {"TIDEWIRE_QUEUE_BYTES": "many"}, "queue_bytes"),
        ("queue_bytes = 0", {}, "queue_bytes"),
        ("slot = 'Bad Name'", {}, "slot"),
        ("publications = []", {}, "publications"),
        ("history_age_s = -1", {}, "history_age_s"),
        ("postgres_port = 70000", {}, "postgres_port"),
        ("port = -1", {}, "port"),
        ("max_connections = 0", {}, "max_connections"),
        ("topic_bytes = 256", {}, "topic_bytes"),
        ("joins_per_s = 0", {}, "joins_per_s"),
    ],
)
def test_a_wrong_setting_is_named(text: str, environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        load(text, environ)
    assert caught.value.hint


def test_public_form_hides_the_connection_string() -> None:
    shown = Settings(database_url="postgresql://u:hunter2@h/d").public()
    assert "hunter2" not in str(shown)
    assert shown["database_url"] == "(set)"
