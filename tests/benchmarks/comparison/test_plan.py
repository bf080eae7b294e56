"""The plan that the command line selects."""

from __future__ import annotations

from comparison.plan import QUICK, STAGES, make_plan


def test_all_stages_are_measured_by_default():
    assert make_plan(None, runs=None, is_quick=False).stages == STAGES
    assert make_plan(None, runs=None, is_quick=True).stages == QUICK.stages


def test_a_named_stage_is_shorter_with_quick():
    plan = make_plan(["mixed"], runs=None, is_quick=True)

    assert plan.stages == ("mixed",)
    assert plan.mixed_seconds == QUICK.mixed_seconds


def test_other_configurations_can_be_left_out():
    assert make_plan(["amixed"], runs=None, is_quick=False).all_configs
    plan = make_plan(["amixed"], runs=None, is_quick=False, first_config=True)

    assert not plan.all_configs


def test_only_draining_and_enqueueing_are_repeated():
    assert make_plan(["drain", "pickup"], runs=5, is_quick=False).runs == 5
    assert make_plan(["pickup", "idle"], runs=5, is_quick=False).runs == 1
