"""How a value is shown (FORMATTED_VALUE): a number in its number format, a date in its pattern.

Source: https://developers.google.com/sheets/api/guides/formats. Patterns are read for what sheets really use: digits,
thousands, decimals, percent, exponent, literals, date and time parts; the rest of a pattern stands as it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sheets_sync.sandbox.sheet.entered import EPOCH, MONTHS
from sheets_sync.sandbox.sheet.grid import Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale

DEFAULT_PATTERNS = {
    "NUMBER": "#,##0.00",
    "PERCENT": "0.00%",
    "CURRENCY": '"$"#,##0.00',
    "DATE": "m/d/yyyy",
    "TIME": "h:mm:ss am/pm",
    "DATE_TIME": "m/d/yyyy h:mm:ss",
    "SCIENTIFIC": "0.00E+00",
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_MOMENTS = ("DATE", "TIME", "DATE_TIME")
_DIGITS = re.compile(r"[#0?][#0?,]*(?:\.[#0?]*)?(?:E\+0+)?%?")
_PART = re.compile(r'"[^"]*"|\\.|am/pm|a/p|y+|m+|d+|h+|s+(?:\.0+)?|.', re.I | re.S)


# Advance widths of Helvetica, which Arial shares, in 1/1000 of the size, from space to ~ (Adobe's AFM).
_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 "
    "584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 "
    "667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 "
    "278 556 500 722 500 500 500 334 260 334 584"
).split()
_SIZE = 12.716  # pixels of 10 pt as the real service measures it, from a recorded auto-resize


def text_width(text: str) -> int:
    """How wide a text is in the default font, in pixels."""
    units = sum(int(_WIDTHS[ord(c) - 32]) if 32 <= ord(c) < 127 else 600 for c in text)
    return round(units * _SIZE / 1000)


def show(value: Value, number_format: dict[str, Any] | None = None, locale: Locale = ENGLISH) -> str:
    """The text that a cell with this value and number format shows in a sheet of that locale."""
    if type(value) is bool:
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return value
    kind = (number_format or {}).get("type")
    if number_format is None or kind in (None, "TEXT", "NUMBER_FORMAT_TYPE_UNSPECIFIED"):
        return general(value, locale)
    pattern = number_format.get("pattern") or _default_pattern(kind, locale)
    if pattern in ("", "@", "General"):
        return general(value, locale)
    return _moment(value, pattern) if kind in _MOMENTS else _number(value, pattern, locale)


def _default_pattern(kind: str, locale: Locale) -> str:
    if locale is ENGLISH or kind not in ("DATE", "DATE_TIME"):
        return DEFAULT_PATTERNS.get(kind, "")
    return locale.date_pattern + (" hh:mm:ss" if kind == "DATE_TIME" else "")


def general(value: int | float, locale: Locale = ENGLISH) -> str:
    """A number without a format: at most ten significant digits after a long fraction, an exponent where it is huge."""
    if type(value) is int and abs(value) < 10**15:
        return str(value)
    text = f"{value:.10g}".replace(".", locale.decimal)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}E{exponent[0]}{exponent[1:].lstrip('0').rjust(2, '0')}"
    return text


@lru_cache(maxsize=65536)  # a sheet shows the same few numbers and moments over and over
def _number(value: int | float, pattern: str, locale: Locale) -> str:
    sections = pattern.split(";")
    if value < 0 and len(sections) > 1 and sections[1]:
        return _section(-value, sections[1], locale)
    if value == 0 and len(sections) > 2:
        return _section(0, sections[2], locale)
    return _section(value, sections[0], locale)


def _section(value: int | float, pattern: str, locale: Locale) -> str:
    pattern = re.sub(r"\[[^\]]*\]", "", pattern)
    match = next((m for m in _DIGITS.finditer(re.sub(r'"[^"]*"', lambda m: "\0" * len(m[0]), pattern))), None)
    if match is None:
        return _literal(pattern)
    shown = _digits(abs(value), match[0])
    sign = "-" if value < 0 and any(c in "123456789" for c in shown) else ""
    if locale is not ENGLISH:
        shown = shown.translate({ord(","): locale.thousands, ord("."): locale.decimal})
    return sign + _literal(pattern[: match.start()]) + shown + _literal(pattern[match.end() :])


def _digits(value: int | float, shape: str) -> str:
    if "E" in shape:
        mantissa, exponent = f"{value:.{_places(shape.split('E')[0])}e}".split("e")
        return f"{mantissa}E{exponent}"
    percent = shape.endswith("%")
    shape = shape.rstrip("%")
    places, least = _places(shape), shape.partition(".")[2].count("0")
    text = f"{value * 100 if percent else value:{',' if ',' in shape else ''}.{places}f}"
    whole, _, fraction = text.partition(".")
    while len(fraction) > least and fraction.endswith("0"):
        fraction = fraction[:-1]
    if whole == "0" and "0" not in shape.partition(".")[0]:
        whole = ""
    whole = whole.rjust(shape.partition(".")[0].count("0"), "0")
    return whole + ("." + fraction if fraction else "") + ("%" if percent else "")


def _places(shape: str) -> int:
    return len(shape.partition(".")[2].replace(",", ""))


def _literal(text: str) -> str:
    return re.sub(r'"([^"]*)"|\\(.)|_.|\*.', lambda m: m[1] if m[1] is not None else m[2] or "", text)


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(_PART.findall(pattern))


@lru_cache(maxsize=65536)
def _moment(serial: int | float, pattern: str) -> str:
    at = datetime(EPOCH.year, EPOCH.month, EPOCH.day, tzinfo=UTC) + timedelta(seconds=round(serial * 86400, 3))
    half = re.search(r"am/pm|a/p", pattern, re.I) is not None
    parts = _parts(pattern)
    return "".join(_part(part, at, half, _is_minute(parts, i)) for i, part in enumerate(parts))


def _is_minute(parts: tuple[str, ...], index: int) -> bool:
    """`m` is a minute after an hour or before a second, else a month."""
    letters = [p[0].lower() for p in parts[:index] if p[0].isalpha()]
    after = [p[0].lower() for p in parts[index + 1 :] if p[0].isalpha()]
    return letters[-1:] == ["h"] or after[:1] == ["s"]


def _part(part: str, at: datetime, half: bool, minute: bool) -> str:
    kind, size = part[0].lower(), len(part)
    if part[0] in '"\\':
        return part[1:-1] if part[0] == '"' else part[1:]
    if kind == "y":
        return f"{at.year % 100:02}" if size <= 2 else f"{at.year:04}"
    if kind == "m" and minute:
        return f"{at.minute:0{min(size, 2)}}"
    if kind == "m":
        month = MONTHS[at.month - 1].title()
        return (f"{at.month}", f"{at.month:02}", month[:3], month)[min(size, 4) - 1]
    if kind == "d":
        day = DAYS[at.weekday()]
        return (f"{at.day}", f"{at.day:02}", day[:3], day)[min(size, 4) - 1]
    if kind == "h":
        return f"{(at.hour - 1) % 12 + 1 if half else at.hour:0{min(size, 2)}}"
    if kind == "s":
        return f"{at.second:0{min(size.bit_length(), 2) if '.' not in part else 2}}"
    return ("AM" if at.hour < 12 else "PM") if part.lower() in ("am/pm", "a/p") else part
