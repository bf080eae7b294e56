"""The command lines of the benchmarks."""

from __future__ import annotations

import sys

import pytest

import coordination
import live
import peers
import scale

PARSERS = {
    "peers": peers._parser,
    "live": live._parser,
    "coordination": coordination._parser,
}


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("peers", ["offload-sqlite", "huey-sqlit"]),
        ("peers", ["--stage", "drain", "drian"]),
        ("live", ["--stage", "page", "pages"]),
        ("coordination", ["--stage", "chain", "chian"]),
    ],
)
def test_an_unknown_name_is_refused_with_the_list_of_known_names(script, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        PARSERS[script]().parse_args(arguments)

    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert repr(arguments[-1]) in output
    assert arguments[-2] in output.partition("choose from")[2]


def test_an_unknown_scenario_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale.py", "--only", "quued"])

    with pytest.raises(SystemExit):
        scale.parse()

    assert "'quued'" in capsys.readouterr().err


def test_only_the_named_contenders_and_stages_are_selected():
    assert peers._parser().parse_args([]).names == []
    options = peers._parser().parse_args(["huey-sqlite", "--stage", "drain", "bulk"])
    assert (options.names, options.stage) == (["huey-sqlite"], ["drain", "bulk"])
