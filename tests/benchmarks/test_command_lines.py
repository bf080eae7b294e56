"""What the benchmarks are asked for on their command lines."""

from __future__ import annotations

import sys

import pytest

import live
import peers
import scale

CHOICES = {"peers": peers._parser, "live": live._parser}


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("peers", ["offload-sqlite", "huey-sqlit"]),
        ("peers", ["--stage", "drain", "drian"]),
        ("live", ["--stage", "page", "pages"]),
    ],
)
def test_an_unknown_name_is_refused_and_the_known_are_told(script, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        CHOICES[script]().parse_args(arguments)

    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert repr(arguments[-1]) in said
    assert arguments[-2] in said.partition("choose from")[2]


def test_an_unknown_scene_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale.py", "--only", "quued"])

    with pytest.raises(SystemExit):
        scale.parse()

    assert "'quued'" in capsys.readouterr().err


def test_who_is_not_named_is_left_out():
    assert peers._parser().parse_args([]).names == []
    chosen = peers._parser().parse_args(["huey-sqlite", "--stage", "drain", "bulk"])
    assert (chosen.names, chosen.stage) == (["huey-sqlite"], ["drain", "bulk"])
