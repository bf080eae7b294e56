"""BackendOptions: each has a type, a default and a description; errors name a wrong one."""

import math
from dataclasses import fields
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.tasks import task_backends
from django.test import override_settings

from offload.conf import MAX_INTEGER, BackendOptions, did_you_mean
from tests.tasks import add

BACKEND = "offload.backends.database.DatabaseBackend"


def test_the_defaults_are_valid():
    options = BackendOptions.parse({})

    assert (options.database, options.max_attempts, options.timeout) == ("default", 1, None)
    assert (options.keep_successful, options.keep_failed) == (timedelta(7), timedelta(30))
    assert options.heartbeat_interval == options.lease / 6


@pytest.mark.parametrize("field", fields(BackendOptions), ids=lambda field: field.name)
def test_every_option_has_a_description(field):
    description = field.metadata["description"]

    assert description[0].isupper()
    assert description.endswith(".")


GOOD = [
    ("database", "other"),
    ("max_attempts", 5),
    ("max_attempts", MAX_INTEGER),
    ("timeout", None),
    ("timeout", 0.5),
    ("timeout", 60),
    ("max_worker_losses", 0),
    ("max_arguments_size", 1024),
    ("max_result_size", 10**9),
    ("keep_successful", None),
    ("keep_failed", timedelta(0)),
    ("keep_failed", timedelta.max),
    ("processes", 0),
    ("threads", 64),
    ("lease", 10),
    ("kill_grace_period", 0),
    ("shutdown_timeout", 0.0),
    ("queue_limits", {"mail": {"max_queued": 10_000}, "slow": {"max_queued": None}}),
]


@pytest.mark.parametrize(("name", "value"), GOOD, ids=repr)
def test_a_good_value_is_kept(name, value):
    assert getattr(BackendOptions.parse({name: value}), name) == value


BAD = [
    ("database", None),
    ("database", ["default"]),
    ("max_attempts", 0),
    ("max_attempts", None),
    ("max_attempts", "5"),
    ("max_attempts", 5.0),
    ("max_attempts", True),
    ("max_attempts", MAX_INTEGER + 1),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", math.inf),
    ("timeout", math.nan),
    ("timeout", timedelta(seconds=5)),
    ("max_worker_losses", -1),
    ("max_worker_losses", None),
    ("max_arguments_size", 1023),
    ("max_result_size", 0),
    ("keep_successful", 7),
    ("keep_failed", timedelta(days=-1)),
    ("keep_failed", "30"),
    ("processes", -1),
    ("threads", 0),
    ("async_slots", 0),
    ("async_threads", 0),
    ("lease", 0.5),
    ("lease", math.inf),
    ("poll_interval", 0),
    ("kill_grace_period", -1),
    ("kill_grace_period", None),
    ("shutdown_timeout", math.nan),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=repr)
def test_a_bad_value_is_refused_by_name_and_value(name, value):
    with pytest.raises(ImproperlyConfigured) as caught:
        BackendOptions.parse({name: value})

    assert f"OPTIONS[{name!r}] must be" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_atempts", "Unknown option 'max_atempts'. Did you mean 'max_attempts'?"),
        ("MAX_ATTEMPTS", "Unknown option 'MAX_ATTEMPTS'."),
        ("zzz", "Choices are: address_getter, allowed_commands, async_slots, async_threads,"),
        (5, "Unknown option 5."),
    ],
)
def test_an_unknown_option_is_refused_with_a_suggestion(name, message):
    with pytest.raises(ImproperlyConfigured) as caught:
        BackendOptions.parse({name: 1})

    assert message in str(caught.value)


def test_options_cannot_be_changed():
    with pytest.raises(AttributeError):
        BackendOptions().threads = 5  # type: ignore[misc]


def test_an_error_names_the_backend_before_the_bad_option():
    tasks = {"default": {"BACKEND": BACKEND, "OPTIONS": {"thread": 1}}}
    with (
        override_settings(TASKS=tasks),
        pytest.raises(ImproperlyConfigured, match=r"TASKS\['default'\]: .*mean 'threads'"),
    ):
        add.enqueue(1)


def test_tasks_can_be_declared_despite_bad_options():
    tasks = {"default": {"BACKEND": BACKEND, "OPTIONS": {"thread": 1}}}
    with override_settings(TASKS=tasks):
        assert task_backends["default"].validate_task(add) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mial", " Did you mean 'mail'?"),
        ("zzz", " Choices are: default, mail."),
        (None, " Choices"),
    ],
)
def test_did_you_mean(name, expected):
    assert did_you_mean(name, ["mail", "default"]).startswith(expected)
