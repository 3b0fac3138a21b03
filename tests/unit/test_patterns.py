"""Regular expressions mean the same to every Python that is meant.

Until 3.11.5 a possessive repeat or an atomic group whose inside can go back, branches or looks
around matches wrongly (CPython's gh-106052); Debian 12 has 3.11.2.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# Prints each pattern that a module of the package compiles while it is read.
_RECORDER = """
import importlib, json, pkgutil, sys
from re import _compiler

compiled, compile_one = [], _compiler.compile

def record(pattern, flags=0):
    frame = sys._getframe(1)
    while frame.f_globals["__name__"].split(".")[0] in ("re", "functools"):
        frame = frame.f_back
    module = frame.f_globals["__name__"]
    if isinstance(pattern, str) and module.startswith("insights."):
        compiled.append((module, pattern, int(flags)))
    return compile_one(pattern, flags)

_compiler.compile = record
import insights
for found in pkgutil.walk_packages(insights.__path__, "insights."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from insights.governance import redact
from insights.model import Redaction
redact.text("call 0445-120-331, a@b.de, token=x", Redaction(regions=("DE", "US")))
print(json.dumps(compiled))
"""
# What `re` itself reads patterns with.
codes: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")
_PLAIN = {codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY, codes.AT}


def _goes_back(tree: Any) -> bool:  # noqa: ANN401 - the parser's own lists
    """Tell whether what is parsed can match in more than one way, or looks around."""
    for code, value in tree:
        repeated = code is codes.POSSESSIVE_REPEAT or (
            code is codes.MAX_REPEAT and value[0] == value[1]
        )
        if not (code in _PLAIN or (repeated and not _goes_back(value[2]))):
            return True
    return False


def _held(tree: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the insides of possessive repeats and atomic groups, at any depth."""
    for code, value in tree:
        match code:
            case codes.POSSESSIVE_REPEAT:
                inner = [value[2]]
                yield value[2]
            case codes.ATOMIC_GROUP:
                inner = [value]
                yield value
            case codes.MAX_REPEAT | codes.MIN_REPEAT:
                inner = [value[2]]
            case codes.SUBPATTERN:
                inner = [value[3]]
            case codes.ASSERT | codes.ASSERT_NOT:
                inner = [value[1]]
            case codes.BRANCH:
                inner = value[1]
            case codes.GROUPREF_EXISTS:
                inner = [one for one in value[1:] if one]
            case _:
                inner = []
        for one in inner:
            yield from _held(one)


def _differs(pattern: str, flags: int = 0) -> bool:
    return any(_goes_back(inside) for inside in _held(_parser.parse(pattern, flags)))


@pytest.mark.parametrize(
    "pattern",
    [r"(?:(?!x)\w)++", r"(?:a|bc)*+", r"(?:a{0,3}b){2}+", r"x(?=(?>a+b))", r"(?:a?){2,}+"],
)
def test_those_that_differ_are_told(pattern: str) -> None:
    assert _differs(pattern)


@pytest.mark.parametrize("pattern", [r"\d++(?:[ .]{1,3}+\d++)*+", r"(?:\d{2}x)++", r"(?:a|b*)*"])
def test_those_that_do_not_are_told(pattern: str) -> None:
    assert not _differs(pattern)


def test_no_pattern_matches_otherwise_on_debians_python() -> None:
    told = subprocess.run([sys.executable, "-c", _RECORDER], check=True, capture_output=True)
    compiled = json.loads(told.stdout)
    assert len(compiled) > 100
    assert [one for one in compiled if _differs(*one[1:])] == []
