"""The names that projects may use. Adding one is a decision; removing one breaks somebody."""

from importlib.metadata import version

import pytest

import offload

NAMES = [
    "CurrentJob",
    "Exponential",
    "Fixed",
    "InvalidArguments",
    "InvalidJobState",
    "JobCancelled",
    "JobState",
    "JobTimeout",
    "OffloadError",
    "OffloadTask",
    "Progress",
    "Retry",
    "Snooze",
    "TaskResultExpired",
    "UserFacingError",
    "WorkerLost",
    "aaccepted",
    "accepted",
    "acting_for",
    "current_job",
    "idempotent",
    "is_cancelled",
    "progress",
    "task",
    "track",
]


def test_the_public_names_are_exactly_these():
    assert offload.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_imported_and_says_what_it_is(name):
    assert getattr(offload, name).__doc__


def test_the_version_is_that_of_the_distribution():
    assert offload.__version__ == version("django-offload")
