"""Every signal that has a receiver, or a logged line, is sent."""

from __future__ import annotations

import logging

import pytest
from django.dispatch import Signal
from django.tasks.signals import log_task_started
from django.utils.log import RequireDebugTrue

from offload.signal_receivers import has_no_receivers, has_only_django_receivers


@pytest.fixture
def signal() -> Signal:
    """A signal with Django's receiver, and without receivers of other tests."""
    signal = Signal()
    signal.connect(log_task_started)
    return signal


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="django.tasks")


def receive(**_: object) -> None:
    pass


def test_a_signal_whose_line_is_dropped_has_no_receivers(signal, quiet):
    assert has_no_receivers(signal, logging.INFO)


def test_a_signal_has_receivers_if_the_line_is_logged(signal, caplog):
    caplog.set_level(logging.INFO, logger="django.tasks")

    assert not has_no_receivers(signal, logging.INFO)


def test_a_signal_has_receivers_if_only_errors_are_logged(signal, quiet):
    assert not has_no_receivers(signal, logging.ERROR)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """Django's logger for tasks, with no handler above it."""
    logger = logging.getLogger("django.tasks")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield logger
    monkeypatch.undo()
    logger.manager._clear_cache()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("level", "filters", "debug", "unheard"),
    [
        (logging.INFO, [], False, False),
        (logging.ERROR, [], False, True),
        (logging.INFO, [RequireDebugTrue()], False, True),  # Django's own console handler
        (logging.INFO, [RequireDebugTrue()], True, False),
    ],
)
def test_a_signal_has_receivers_if_a_handler_takes_the_line(  # noqa: PLR0917
    signal, alone, settings, level, filters, debug, unheard
):
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.filters = filters
    alone.handlers = [handler]  # in place of pytest's
    settings.DEBUG = debug

    assert has_no_receivers(signal, logging.INFO) is unheard


def test_without_handlers_only_warnings_are_logged(signal, alone):
    alone.handlers = []

    assert has_no_receivers(signal, logging.INFO)
    assert not has_no_receivers(signal, logging.ERROR)


def test_another_receiver_counts(signal, quiet):
    signal.connect(receive)

    assert not has_no_receivers(signal, logging.INFO)
    assert not has_only_django_receivers(signal)


def test_a_receiver_in_place_of_djangos_counts(signal, quiet):
    signal.disconnect(log_task_started)
    signal.connect(receive)

    assert not has_no_receivers(signal, logging.INFO)


@pytest.mark.parametrize("weak", [True, False])
def test_detection_calls_no_receiver(signal, quiet, weak):
    def refuse(sender: object, **_: object) -> None:
        raise AssertionError

    signal.disconnect(log_task_started)
    signal.connect(refuse, weak=weak)

    assert not has_no_receivers(signal, logging.INFO)
    assert not has_only_django_receivers(signal)


def test_a_signal_without_receivers_has_none(signal, quiet):
    signal.disconnect(log_task_started)

    assert has_no_receivers(signal, logging.INFO)
