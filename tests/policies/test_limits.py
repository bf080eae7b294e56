"""The options concurrency, rate and fair: their values, and the errors for wrong ones."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload import Concurrency, Fair, Rate
from offload.policies.limits import MAX_NUMBER


def places(shop_id: int) -> int:
    return shop_id


async def aplaces(shop_id: int) -> int:
    return shop_id


@pytest.mark.parametrize(
    ("rate", "interval", "burst"),
    [
        (Rate("100/m"), 600_000, 1),
        (Rate("100/s"), 10_000, 10),
        (Rate("7/s"), 142_858, 1),
        (Rate("2/h", burst=5), 1_800_000_000, 5),
        (Rate(" 1 / d "), 86_400_000_000, 1),
        (Rate(100, per=timedelta(minutes=1)), 600_000, 1),
        (Rate(1, per=0.25), 250_000, 1),
        (Rate("1000000/s"), 1, 100_000),
    ],
    ids=str,
)
def test_a_rate_is_an_interval_and_a_burst(rate: Rate, interval: int, burst: int) -> None:
    assert (rate.interval, rate.starts_at_once) == (interval, burst)


@given(count=st.integers(1, MAX_NUMBER), unit=st.sampled_from("smhd"))
def test_an_interval_is_never_shorter_than_the_rate_allows(count: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]

    assert Rate(f"{count}/{unit}").interval * count >= seconds * 1_000_000


@pytest.mark.parametrize(
    "limit", ["100", "100/min", "0/s", "1.5/s", "-1/s", "٣/s", "", "1000001/s", "100/m/s"], ids=repr
)
def test_text_that_is_no_rate_is_refused(limit: str) -> None:
    with pytest.raises(ValueError, match=r'such as "100/m", with one of the units') as caught:
        Rate(limit)

    assert repr(limit) in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"limit": 100},
        {"limit": "100/m", "per": 60},
        {"limit": 0, "per": 60},
        {"limit": True, "per": 60},
        {"limit": 1.5, "per": 60},
        {"limit": None, "per": 60},
        {"limit": 1, "per": 0},
        {"limit": 1, "per": timedelta(seconds=-1)},
        {"limit": 1, "per": float("nan")},
        {"limit": 1, "per": "{customer}"},
        {"limit": 1, "per": True},
        {"limit": 2, "per": 1e-6},
    ],
    ids=str,
)
def test_a_rate_without_a_meaning_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A rate is") as caught:
        Rate(**values)

    assert repr(values["limit"]) in str(caught.value)


@pytest.mark.parametrize("burst", [0, -1, 1.5, "5", True, MAX_NUMBER + 1], ids=repr)
def test_a_wrong_burst_is_refused(burst: Any) -> None:
    with pytest.raises(ValueError, match="Rate: burst must be a whole number from 1 to 1,000,000"):
        Rate("1/s", burst=burst)


def test_a_burst_of_more_than_a_hundred_years_is_refused() -> None:
    with pytest.raises(ValueError, match="100 years"):
        Rate("1/d", burst=40_000)


@pytest.mark.parametrize("maximum", [0, -1, 1.5, None, True, MAX_NUMBER + 1], ids=repr)
def test_a_number_that_is_no_limit_is_refused(maximum: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number from 1 to 1,000,000") as caught:
        Concurrency(maximum)

    assert repr(maximum) in str(caught.value)


def test_a_callable_is_given_by_its_path() -> None:
    assert Concurrency("shop.tariffs.places", key="{shop_id}").maximum == "shop.tariffs.places"
    with pytest.raises(TypeError, match=r'"tests\.policies\.test_limits\.places"'):
        Concurrency(places, key="{shop_id}")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["5", "places", "shop/tariffs", "shop.tariffs.", ""], ids=repr)
def test_text_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="dotted path") as caught:
        Concurrency(path, key="{shop_id}")

    assert repr(path) in str(caught.value)


def test_numbers_of_keys_need_a_key() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Concurrency("shop.tariffs.places")
    with pytest.raises(ValueError, match="total needs a key"):
        Concurrency(5, total=50)
    with pytest.raises(ValueError, match="Fair needs a key"):
        Fair("")


@pytest.mark.parametrize("total", [0, "50", True], ids=repr)
def test_a_wrong_total_is_refused(total: Any) -> None:
    with pytest.raises(ValueError, match="Concurrency: total must be a whole number"):
        Concurrency(5, key="{shop_id}", total=total)


@pytest.mark.parametrize("key", [5, None, ["shop_id"], b"{shop_id}"], ids=repr)
@pytest.mark.parametrize(
    "policy",
    [lambda key: Concurrency(1, key=key), lambda key: Rate("1/s", key=key), Fair],
    ids=["Concurrency", "Rate", "Fair"],
)
def test_a_key_that_is_neither_text_nor_callable_is_refused(policy: Any, key: Any) -> None:
    with pytest.raises(TypeError, match=r'key must be text such as "\{user_id\}"') as caught:
        policy(key)

    assert repr(key) in str(caught.value)


def test_an_async_key_is_refused() -> None:
    with pytest.raises(TypeError, match="written with def"):
        Fair(aplaces)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [5, None, "a:b", "a b", "é", "x" * 129], ids=repr)
def test_a_wrong_name_is_refused(name: Any) -> None:
    for policy in (Concurrency(1), Rate("1/s")):
        values = {"maximum": 1} if isinstance(policy, Concurrency) else {"limit": "1/s"}
        with pytest.raises(ValueError, match="name must be at most 128 letters") as caught:
            type(policy)(**values, name=name)

        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "policy", [Concurrency(5, key="{a}", total=9, name="x"), Rate("1/s"), Fair("{a}")], ids=str
)
def test_policies_are_values(policy: Any) -> None:
    copy = pickle.loads(pickle.dumps(policy))

    assert (copy, hash(copy)) == (policy, hash(policy))
    with pytest.raises(AttributeError):
        policy.key = "{b}"


@pytest.mark.parametrize("weight", [0, -1, 1001, 1.5, True, None, "weight", "", "a b.c"], ids=repr)
def test_a_weight_must_be_a_number_or_a_callable(weight):
    with pytest.raises(ValueError, match="Fair: weight must be a whole number") as caught:
        Fair("{tenant}", weight=weight)

    assert repr(weight) in str(caught.value)


def test_a_weight_must_not_be_async():
    async def weight() -> int:
        return 1

    with pytest.raises(TypeError, match="must be a callable written with def"):
        Fair("{tenant}", weight=weight)
