"""What typed text becomes: a number, a date, a truth value, a formula or text, as Google reads it in an en_US sheet.

`read(text, plain, today)` is pure. A date becomes the number of days since 1899-12-30 and a number format; a cell that
is formatted as plain text keeps whatever is typed.
Source: https://developers.google.com/sheets/api/guides/values#writing (USER_ENTERED), and the recorded answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from sheets_sync.sandbox.sheet.grid import Value

EPOCH = date(1899, 12, 30)  # Lotus 1-2-3 counted from here; so does every spreadsheet since
MONTHS = ("january february march april may june july august september october november december").split()

_NUMBER = re.compile(r"^([-+]?)(\$?)([-+]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE]([-+]?\d+))?\s*(%?)$")
_BRACKETED = re.compile(r"^\((\$?[\d.,]+)\)$")
_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?\s*([AaPp][Mm])?$")
_ISO = re.compile(r"^(\d{4})([-/.])(\d{1,2})\2(\d{1,2})$")
_US = re.compile(r"^(\d{1,2})([-/])(\d{1,2})(?:\2(\d{4}|\d{2}))?$")
_MONTH_FIRST = re.compile(r"^([A-Za-z]{3,9})\.?[ -]?(\d{1,2})(?:(?:,\s*|[ -])(\d{4}))?$")
_DAY_FIRST = re.compile(r"^(\d{1,2})[ -]?([A-Za-z]{3,9})\.?(?:[ ,-]\s*(\d{4}))?$")


@dataclass(frozen=True, slots=True)
class Entered:
    """A value, or a formula; and the number format that typing it gives to a cell that has none."""

    value: Value = ""
    formula: str | None = None
    number_format: dict[str, Any] | None = None


def read(text: str, plain: bool, today: date) -> Entered:
    """What the text means. `plain`: the cell's format is plain text. `today` gives dates without a year theirs."""
    if plain or not text:
        return Entered(text)
    if text.startswith("'"):
        return Entered(text[1:])
    if text.startswith("=") and len(text) > 1:
        return Entered(formula=text)
    word = text.strip()
    if word.upper() in ("TRUE", "FALSE"):
        return Entered(word.upper() == "TRUE")
    return _number(word) or _moment(word, today) or Entered(text)


def tidy(number: float) -> int | float:
    """A whole number as int, so that it is written without a fraction."""
    return int(number) if number == int(number) and abs(number) < 1e15 else number


def _number(word: str) -> Entered | None:
    bracketed = _BRACKETED.match(word)
    if bracketed:
        word = "-" + bracketed[1]
    match = _NUMBER.match(word)
    if not match or (match[1] and match[3]) or (match[3] and not match[2]):
        return None
    _, dollar, _, digits, exponent, percent = match.groups()
    number = float(digits.replace(",", "") + (f"e{exponent}" if exponent else ""))
    if number in (float("inf"), float("-inf")):
        return None
    if "-" in (match[1], match[3]):
        number = -number
    return Entered(
        tidy(round(number / 100, 15) if percent else number), number_format=_shape(digits, dollar, exponent, percent)
    )


def _shape(digits: str, dollar: str, exponent: str | None, percent: str) -> dict[str, Any] | None:
    fraction = ".00" if "." in digits else ""
    if percent:
        return {"type": "PERCENT", "pattern": f"0{fraction}%"}
    if dollar:
        return {"type": "CURRENCY", "pattern": '"$"#,##0' + fraction}
    if exponent:
        return {"type": "SCIENTIFIC", "pattern": "0.00E+00"}
    return {"type": "NUMBER", "pattern": f"#,##0{fraction}"} if "," in digits else None


def _moment(word: str, today: date) -> Entered | None:
    clock = _clock(word)
    if clock is not None:
        pattern = ("h:mm:ss" if word.count(":") == 2 else "h:mm") + (" am/pm" if word[-1] in "Mm" else "")
        return Entered(tidy(clock), number_format={"type": "TIME", "pattern": pattern})
    day = _day(word, today)
    if day is not None:
        serial, pattern = day
        return Entered(serial, number_format={"type": "DATE", "pattern": pattern})
    head, gap, tail = word.replace("T", " ", 1).partition(" ") if _ISO.match(word[:10]) else word.partition(" ")
    day, clock = _day(head, today), _clock(tail)
    if gap and day is not None and clock is not None:
        pattern = f"{day[1]} h:mm:ss" if tail.count(":") == 2 else f"{day[1]} h:mm"
        return Entered(tidy(day[0] + clock), number_format={"type": "DATE_TIME", "pattern": pattern})
    return None


def _clock(word: str) -> float | None:
    match = _TIME.match(word)
    if not match:
        return None
    hour, minute, second = int(match[1]), int(match[2]), float((match[3] or "0") + (match[4] or ""))
    half = (match[5] or "").lower()
    if minute > 59 or second >= 60 or (half and not 1 <= hour <= 12):
        return None
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return (hour * 3600 + minute * 60 + second) / 86400


def _day(word: str, today: date) -> tuple[int, str] | None:
    if iso := _ISO.match(word):
        return _serial(int(iso[1]), int(iso[3]), int(iso[4]), iso[2].join(("yyyy", "mm", "dd")))
    if us := _US.match(word):
        pattern = us[2].join(("m", "d", "yyyy")) if us[4] else us[2].join(("m", "d"))
        return _serial(_year(us[4], today), int(us[1]), int(us[3]), pattern)
    if named := _MONTH_FIRST.match(word):
        return _serial(_year(named[3], today), _month(named[1]), int(named[2]), "mmm d, yyyy" if named[3] else "mmm d")
    if named := _DAY_FIRST.match(word):
        return _serial(_year(named[3], today), _month(named[2]), int(named[1]), "d-mmm-yyyy" if named[3] else "d-mmm")
    return None


def _year(text: str | None, today: date) -> int:
    if not text:
        return today.year
    return int(text) if len(text) == 4 else int(text) + (2000 if int(text) < 50 else 1900)


def _month(name: str) -> int:
    return next(
        (
            n
            for n, full in enumerate(MONTHS, 1)
            if full == name.lower() or full[:3] == name.lower() or (n == 9 and name.lower() == "sept")
        ),
        0,
    )


def _serial(year: int, month: int, day: int, pattern: str) -> tuple[int, str] | None:
    try:
        return (date(year, month, day) - EPOCH).days, pattern
    except ValueError:
        return None
