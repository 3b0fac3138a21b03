"""Pydantic's patterns of decimal numbers (2.0 to 2.13), said without looking ahead.

`Decimal` with `max_digits` and `decimal_places` becomes a string of such a pattern beside a number
(`pydantic/json_schema.py`, `decimal_schema`). Zeros before and behind the number do not count.
"""

import re

_BEGIN = re.escape(r"^(?!^[-+.]*$)[+-]?0*")
_BOTH = re.compile(
    _BEGIN + r"\(\?:\\d\{0,(\d+)\}\|\(\?=\[\\d\.\]\{1,\d+\}0\*\$\)"
    r"\\d\{0,\d+\}\\\.\\d\{0,(\d+)\}0\*\$\)"
)
_DIGITS = re.compile(
    _BEGIN + r"\(\?:\\d\{0,(\d+)\}\|\(\?=\[\\d\.\]\{1,\d+\}0\*\$\)\\d\*\\\.\\d\*0\*\$\)"
)
_PLACES = re.compile(_BEGIN + r"\\d\*\\\.\?\\d\{0,(\d+)\}0\*\$")
_ANY = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
_MOST = 64  # digits whose places are written out


def written(pattern: str) -> str:
    """Return a pattern of decimal numbers as one that generation can hold; any other as it is."""
    if pattern == _ANY:
        return r"^[+-]?(\d+\.?\d*|\.\d+)$"
    if found := _BOTH.fullmatch(pattern):
        return _signed(_of(int(found[1]), int(found[2])))
    if found := _PLACES.fullmatch(pattern):
        return _signed(rf"\d+(\.{_up_to(int(found[1]), 0)}0*)?|{_behind(int(found[1]))}")
    if (found := _DIGITS.fullmatch(pattern)) and int(found[1]) <= _MOST:
        digits = int(found[1])
        return _signed("|".join(_of(whole, digits - whole) for whole in range(digits + 1)))
    return pattern


def _of(whole: int, places: int) -> str:
    """Return what has so many digits before the point and so many behind it, at most."""
    before = f"0*{_up_to(whole, 1)}" if whole else "0+"
    behind = _behind(places) if places else r"\.0+"
    return rf"{before}(\.{_up_to(places, 0)}0*)?|0*{_up_to(whole, 0)}{behind}"


def _behind(places: int) -> str:
    return rf"\.{_up_to(places, 1)}0*" if places else r"\.0+"


def _up_to(most: int, least: int) -> str:
    return rf"\d{{{least},{most}}}" if most else ""


def _signed(number: str) -> str:
    return f"^[+-]?({number})$"
