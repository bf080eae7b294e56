"""The tree of errors, and durations."""

import pickle
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.tasks.exceptions import TaskException

from offload import Retry, Snooze, exceptions
from offload.durations import MAX_SECONDS, seconds

BRANCH = 4
"""Characters of one level in the drawing."""


def drawn_tree() -> dict[str, str]:
    """Return the parent of each class drawn in the module's docstring; '' for a root."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines()[2:]:
        names = line.replace("─", " ").replace("├", " ").replace("└", " ").replace("│", " ")
        if not names.strip():
            continue
        depth = (len(names) - len(names.lstrip())) // BRANCH
        words = names.strip().split("   ")[0]
        del above[depth:]
        for name in words.split(", "):
            parents[name.split(" (")[0]] = above[-1] if above else ""
        above.append(words.split(" (")[0])
    return parents


def test_the_tree_in_the_docstring_matches_the_classes():
    drawn = drawn_tree()
    real = {
        name: kind
        for name, kind in vars(exceptions).items()
        if isinstance(kind, type) and issubclass(kind, BaseException) and kind is not DatabaseError
    }

    assert set(drawn) == set(real)
    for name, parent in drawn.items():
        bases = [base.__name__ for base in real[name].__bases__]
        assert bases[0] == parent if parent else not set(bases) & set(drawn)


@pytest.mark.parametrize("name", ["InvalidJobState", "QueueUnavailable", "InvalidArguments"])
def test_errors_of_the_caller_derive_from_djangos(name):
    assert issubclass(getattr(exceptions, name), TaskException)


@pytest.mark.parametrize("name", ["JobTimeout", "JobCancelled"])
def test_except_exception_does_not_catch_an_interruption(name):
    assert not issubclass(getattr(exceptions, name), Exception)


@pytest.mark.parametrize(
    ("after", "expected"),
    [(None, None), (0, 0), (1.5, 1.5), (timedelta(minutes=1), 60), (MAX_SECONDS, MAX_SECONDS)],
)
def test_retry_carries_seconds(after, expected):
    error = pickle.loads(pickle.dumps(Retry(after)))

    assert error.after == expected
    assert Retry(after=after).after == expected


@pytest.mark.parametrize(("delay", "expected"), [(0, 0), (2, 2), (timedelta(hours=1), 3600)])
def test_snooze_carries_seconds(delay, expected):
    error = pickle.loads(pickle.dumps(Snooze(delay)))

    assert error.delay == expected


@pytest.mark.parametrize("make", [seconds, Retry, Snooze])
@pytest.mark.parametrize(
    "value",
    [-1, float("nan"), float("inf"), MAX_SECONDS + 1, timedelta(-1), timedelta.max],
    ids=repr,
)
def test_a_duration_out_of_range_is_refused(make, value):
    with pytest.raises(ValueError, match="A duration must be from 0 seconds to 100 years"):
        make(value)


@pytest.mark.parametrize("value", ["5", True, [], object], ids=repr)
def test_a_value_that_is_no_duration_is_refused(value):
    with pytest.raises(TypeError):
        seconds(value)
