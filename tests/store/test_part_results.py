"""Results of parts of workflows stand where other parts refer to them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from offload.exceptions import InvalidArguments
from offload.lifecycle import JobState, succeeded
from tests.workflow_rows import E, Flow, S

pytestmark = pytest.mark.django_db

ONE, LIST = {"offload:result": 1}, {"offload:results": 2}


def fill_in(flow: Flow, name: str, value: Any, max_size: int = 1000) -> Any:
    key = flow.store.key(flow.ids[name])
    return flow.store.fill_in(key, value, max_size=max_size, of_arguments=True)


def test_references_become_results_anywhere_in_the_arguments() -> None:
    graph = dict.fromkeys("abc", ((), S)) | {"end": ((), S)}
    flow = Flow(
        graph,
        dependencies=[("end", "a", 1, 0), ("end", "c", 2, 0), ("end", "b", 2, 1)],
    )
    flow.run(a=succeeded('{"x": [1]}'))

    value = fill_in(flow, "end", [[ONE, {"deep": [LIST, ONE]}], {"title": "x"}])

    assert value == [[{"x": [1]}, {"deep": [["c", "b"], {"x": [1]}]}], {"title": "x"}]


def test_the_results_of_many_parts_are_in_order() -> None:
    names = [f"p{number}" for number in range(50)]
    flow = Flow(
        {**dict.fromkeys(names, ((), S)), "end": ((), S)},
        dependencies=[("end", name, 2, 49 - index) for index, name in enumerate(names)],
    )
    flow.run()

    assert fill_in(flow, "end", LIST) == names[::-1]


def test_a_slot_that_no_part_fills_is_an_empty_list() -> None:
    flow = Flow({"a": ((), S), "end": ((), S)}, dependencies=[("end", "a", 1, 0)])

    assert fill_in(flow, "end", LIST) == []


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_part_without_a_result_gives_none(state: JobState) -> None:
    flow = Flow({"a": ((), S), "end": (("a",), E)}, dependencies=[("end", "a", 1, 0)])
    flow.run(a=state)

    assert fill_in(flow, "end", ONE) is None


def test_a_value_that_looks_like_a_reference_stays_in_a_result() -> None:
    flow = Flow({"a": ((), S), "end": ((), S)}, dependencies=[("end", "a", 1, 0)])
    flow.run(a=succeeded('{"offload:result": 1}'))

    assert fill_in(flow, "end", ONE) == {"offload:result": 1}


def test_a_handed_over_result_is_that_of_the_other_part() -> None:
    flow = Flow(
        dict.fromkeys("abcd", ((), S)),
        dependencies=[("d", "c", 1, 0), ("c", "b", -1, 0), ("b", "a", -2, 0)],
    )
    flow.run(
        b=succeeded('{"offload:results": -2}'),
        c=succeeded('{"of b": {"offload:result": -1}}'),
    )

    assert fill_in(flow, "d", ONE) == {"of b": ["a"]}


def test_a_result_is_handed_over_ten_times_at_most() -> None:
    names = [f"p{number}" for number in range(12)]
    edges = [(child, parent, -1, 0) for parent, child in pairwise(names)]
    flow = Flow(
        {**dict.fromkeys(names, ((), S)), "ten": ((), S), "eleven": ((), S)},
        dependencies=[*edges, ("ten", "p10", 1, 0), ("eleven", "p11", 1, 0)],
    )
    flow.run(**{name: succeeded('{"offload:result": -1}') for name in names[1:]})

    assert fill_in(flow, "ten", ONE) == "p0"
    with pytest.raises(InvalidArguments, match="handed over more than 10 times"):
        fill_in(flow, "eleven", ONE)


def test_results_that_are_too_large_together_are_not_read() -> None:
    flow = Flow(
        dict.fromkeys("abc", ((), S)),
        dependencies=[("c", "a", 2, 0), ("c", "b", 2, 1)],
    )
    flow.run(a=succeeded('"ä"'), b=succeeded('"123456"'))

    assert fill_in(flow, "c", LIST, max_size=12) == ["ä", "123456"]
    with pytest.raises(InvalidArguments, match="are 12 bytes of JSON; at most 11 are allowed"):
        fill_in(flow, "c", LIST, max_size=11)
