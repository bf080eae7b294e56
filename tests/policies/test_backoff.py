"""Backoff policies."""

import pickle
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload import Exponential, Fixed
from offload.durations import MAX_SECONDS
from offload.policies import DEFAULT_BACKOFF

ERROR = ValueError("no")


def result_of(attempts: int) -> SimpleNamespace:
    return SimpleNamespace(attempts=attempts)


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (Exponential(jitter=False), [2, 4, 8, 16]),
        (Exponential(1, 5, jitter=False), [1, 2, 4, 5]),
        (Exponential(3, factor=1, jitter=False), [3, 3, 3, 3]),
        (Exponential(0.5, factor=10, maximum=100, jitter=False), [0.5, 5, 50, 100]),
        (Fixed(7), [7, 7, 7, 7]),
        (Fixed(timedelta(minutes=1)), [60, 60, 60, 60]),
        (Fixed(0), [0, 0, 0, 0]),
    ],
    ids=str,
)
def test_delays_grow_by_the_factor(policy, delays):
    assert [policy(ERROR, result_of(attempt)) for attempt in (1, 2, 3, 4)] == delays


@given(
    base=st.floats(0.001, 1e6),
    factor=st.floats(1, 1e6),
    maximum=st.floats(0.001, MAX_SECONDS),
    attempt=st.integers(0, 2**31),
)
def test_full_jitter_stays_within_the_bound(base, factor, maximum, attempt):
    drawn = Exponential(base, maximum, factor).delay(attempt)
    bound = Exponential(base, maximum, factor, jitter=False).delay(attempt)

    assert 0 <= drawn <= bound <= maximum


def test_jobs_that_failed_together_are_not_retried_together():
    assert len({DEFAULT_BACKOFF.delay(5) for _ in range(100)}) > 90


@pytest.mark.parametrize(
    "values",
    [
        {"base": 0},
        {"base": -1},
        {"maximum": 0},
        {"factor": 0.5},
        {"base": float("nan")},
        {"maximum": float("nan")},
        {"maximum": float("inf")},
        {"factor": float("nan")},
    ],
    ids=str,
)
def test_an_invalid_exponential_is_refused(values):
    with pytest.raises(ValueError, match="base"):
        Exponential(**values)


@pytest.mark.parametrize(
    "delay", [-1, float("nan"), float("inf"), timedelta(seconds=-1), timedelta.max], ids=str
)
def test_an_invalid_fixed_delay_is_refused(delay):
    with pytest.raises(ValueError, match="duration"):
        Fixed(delay)


@pytest.mark.parametrize("delay", ["5", True, None], ids=repr)
def test_a_fixed_delay_that_is_no_duration_is_refused(delay):
    with pytest.raises(TypeError):
        Fixed(delay)


@pytest.mark.parametrize(
    ("policy", "field"), [(Exponential(), "base"), (Fixed(3), "delay")], ids=str
)
def test_policies_are_values(policy, field):
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(pickle.loads(pickle.dumps(policy)))
    with pytest.raises(AttributeError):
        setattr(policy, field, 5)
