"""How much is measured."""

from __future__ import annotations

from arena.plan import QUICK, STAGES, make_plan


def test_all_stages_are_measured_if_none_is_named():
    assert make_plan(None, runs=None, is_quick=False).stages == STAGES
    assert make_plan(None, runs=None, is_quick=True).stages == QUICK.stages


def test_quick_measures_less_of_what_is_named():
    plan = make_plan(["mixed"], runs=None, is_quick=True)

    assert plan.stages == ("mixed",)
    assert plan.mixed_seconds == QUICK.mixed_seconds


def test_only_drains_and_calls_are_repeated():
    assert make_plan(["drain", "pickup"], runs=5, is_quick=False).runs == 5
    assert make_plan(["pickup", "idle"], runs=5, is_quick=False).runs == 1
