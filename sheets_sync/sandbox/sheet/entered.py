"""What typed text becomes: a number, a date, a truth value, a formula or text, as Google reads it.

`read(text, plain, today, locale)` is pure. A date becomes the number of days since 1899-12-30 and a number format; a
cell that is formatted as plain text keeps whatever is typed.
Source: https://developers.google.com/sheets/api/guides/values#writing (USER_ENTERED), and the recorded answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from sheets_sync.sandbox.sheet.grid import Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale

EPOCH = date(1899, 12, 30)  # Lotus 1-2-3 counted from here; so does every spreadsheet since
MONTHS = ("january february march april may june july august september october november december").split()

_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?\s*([AaPp][Mm])?$")
_ISO = re.compile(r"^(\d{4})([-/.])(\d{1,2})\2(\d{1,2})$")
_PARTS = re.compile(r"^(\d{1,2})([-/.])(\d{1,2})(?:\2(\d{4}|\d{2}))?\.?$")
_MONTH_FIRST = re.compile(r"^([A-Za-z]{3,9})\.?[ -]?(\d{1,2})(?:(?:,\s*|[ -])(\d{4}))?$")
_DAY_FIRST = re.compile(r"^(\d{1,2})[ -]?([A-Za-z]{3,9})\.?(?:[ ,-]\s*(\d{4}))?$")


@dataclass(frozen=True, slots=True)
class Entered:
    """A value, or a formula; and the number format that typing it gives to a cell that has none."""

    value: Value = ""
    formula: str | None = None
    number_format: dict[str, Any] | None = None


def read(text: str, plain: bool, today: date, locale: Locale = ENGLISH) -> Entered:
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
    return _number(word, locale) or _moment(word, today, locale) or Entered(text)


def tidy(number: float) -> int | float:
    """A whole number as int, so that it is written without a fraction."""
    return int(number) if number == int(number) and abs(number) < 1e15 else number


@lru_cache
def _patterns(locale: Locale) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A number of that locale, with a currency before or behind it; and one in brackets, which is below zero."""
    decimal, symbol = re.escape(locale.decimal), re.escape(locale.symbol)
    mark = rf"[{re.escape(locale.thousands)} \u202f]" if locale.thousands == "\u00a0" else re.escape(locale.thousands)
    digits = rf"(?:\d{{1,3}}(?:{mark}\d{{3}})+|\d+)(?:{decimal}\d*)?|{decimal}\d+"
    before = rf"([-+]?)({symbol}\s?)?([-+]?)({digits})(?:[eE]([-+]?\d+))?"
    return re.compile(rf"^{before}\s*(%?)(?:\s?({symbol}))?$"), re.compile(rf"^\(((?:{symbol})?[\d\s.,]+)\)$")


def _number(word: str, locale: Locale) -> Entered | None:
    pattern, in_brackets = _patterns(locale)
    bracketed = in_brackets.match(word)
    if bracketed:
        word = "-" + bracketed[1]
    match = pattern.match(word)
    if not match:
        return None
    sign, before, second, digits, exponent, percent, behind = match.groups()
    if (sign and second) or (second and not before) or (behind and (before or percent or locale.symbol_first)):
        return None
    clean = re.sub(rf"[{re.escape(locale.thousands)} \u202f]", "", digits).replace(locale.decimal, ".")
    number = float(clean + (f"e{exponent}" if exponent else ""))
    if number in (float("inf"), float("-inf")):
        return None
    if "-" in (sign, second):
        number = -number
    shape = _shape(digits, bool(before or behind), exponent, percent, locale)
    return Entered(tidy(round(number / 100, 15) if percent else number), number_format=shape)


def _shape(digits: str, money: bool, exponent: str | None, percent: str, locale: Locale) -> dict[str, Any] | None:
    """The format that typing gives; patterns are written the English way in every locale."""
    fraction = ".00" if locale.decimal in digits else ""
    if percent:
        return {"type": "PERCENT", "pattern": f"0{fraction}%"}
    if money:
        number, symbol = f"#,##0{fraction}", f'"{locale.symbol}"'
        return {"type": "CURRENCY", "pattern": symbol + number if locale.symbol_first else f"{number} {symbol}"}
    if exponent:
        return {"type": "SCIENTIFIC", "pattern": "0.00E+00"}
    grouped = not digits.replace(locale.decimal, "").isdigit()
    return {"type": "NUMBER", "pattern": f"#,##0{fraction}"} if grouped else None


def _moment(word: str, today: date, locale: Locale) -> Entered | None:
    clock = _clock(word)
    if clock is not None:
        pattern = ("h:mm:ss" if word.count(":") == 2 else "h:mm") + (" am/pm" if word[-1] in "Mm" else "")
        return Entered(tidy(clock), number_format={"type": "TIME", "pattern": pattern})
    day = _day(word, today, locale)
    if day is not None:
        serial, pattern = day
        return Entered(serial, number_format={"type": "DATE", "pattern": pattern})
    head, gap, tail = word.replace("T", " ", 1).partition(" ") if _ISO.match(word[:10]) else word.partition(" ")
    day, clock = _day(head, today, locale), _clock(tail)
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


def _day(word: str, today: date, locale: Locale) -> tuple[int, str] | None:
    if iso := _ISO.match(word):
        return _serial(int(iso[1]), int(iso[3]), int(iso[4]), iso[2].join(("yyyy", "mm", "dd")))
    if (parts := _PARTS.match(word)) and ("." not in word or locale.date_mark == "." == parts[2]):
        return _short(parts, today, locale)
    if named := _MONTH_FIRST.match(word):
        return _serial(_year(named[3], today), _month(named[1]), int(named[2]), "mmm d, yyyy" if named[3] else "mmm d")
    if named := _DAY_FIRST.match(word):
        return _serial(_year(named[3], today), _month(named[2]), int(named[1]), "d-mmm-yyyy" if named[3] else "d-mmm")
    return None


def _short(parts: re.Match[str], today: date, locale: Locale) -> tuple[int, str] | None:
    """1/2, 1.2.2026: month first or day first, as the locale has it."""
    month_first = locale.order == "MDY" or (locale.order == "YMD" and not parts[4])
    month, day = (parts[1], parts[3]) if month_first else (parts[3], parts[1])
    letters = ("m", "d") if month_first else ("d", "m")
    pattern = parts[2].join((*letters, "yyyy") if parts[4] else letters)
    return _serial(_year(parts[4], today), int(month), int(day), pattern)


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
