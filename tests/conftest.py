"""What every test shares: the Postgres fixtures, Hypothesis profiles and the rule for long tests."""

import os
import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.postgres"]

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of short processes would each compile everything anew
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job in the background: commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

_CI = bool(os.environ.get("CI"))
_UNHURRIED = [HealthCheck.too_slow]  # the machine may be busy; the tests' own timeout still holds

settings.register_profile(
    "default", deadline=None, max_examples=100, derandomize=_CI, print_blob=True, suppress_health_check=_UNHURRIED
)
settings.register_profile(
    "soak", deadline=None, max_examples=10_000, derandomize=False, print_blob=True, suppress_health_check=_UNHURRIED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long form out unless it was asked for by `-m soak` or TIDEWIRE_SOAK=1."""
    if "soak" in (config.option.markexpr or "") or os.environ.get("TIDEWIRE_SOAK") == "1":
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(autouse=True)
def _log_everything() -> None:
    """Undo what a command that ran in this process has set: it may leave out what a later test looks for."""
    structlog.reset_defaults()
