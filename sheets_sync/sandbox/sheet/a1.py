"""A1 notation: text to a half-open, zero-based area of a tab, and back.

Open ends are None until `Area.within` closes them with the size of a grid.
Source: https://developers.google.com/sheets/api/guides/concepts#cell
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTED = re.compile(r"^'((?:[^']|'')+)'(?:!(.*))?$", re.S)
_CORNER = re.compile(r"^\$?([A-Za-z]{1,3})?\$?([1-9][0-9]{0,7})?$")
_PLAIN_TITLE = re.compile(r"^[^\W\d]\w*$")
_LOOKS_LIKE_A1 = re.compile(r"^([A-Za-z]{1,3}[0-9]+|[Rr][0-9]*[Cc][0-9]*|[Rr]|[Cc])$")


@dataclass(frozen=True, slots=True)
class Area:
    """Rows r0 to r1 and columns c0 to c1, zero-based, ends excluded; an end that is None is open."""

    r0: int = 0
    r1: int | None = None
    c0: int = 0
    c1: int | None = None

    def within(self, rows: int, columns: int) -> Box:
        """The area cut to a grid of that size."""
        r1 = rows if self.r1 is None else min(self.r1, rows)
        c1 = columns if self.c1 is None else min(self.c1, columns)
        return Box(self.r0, r1, self.c0, c1)


@dataclass(frozen=True, slots=True)
class Box:
    """A closed area: rows r0 to r1 and columns c0 to c1, zero-based, ends excluded."""

    r0: int
    r1: int
    c0: int
    c1: int

    @property
    def height(self) -> int:
        return self.r1 - self.r0

    @property
    def width(self) -> int:
        return self.c1 - self.c0


def letters(column: int) -> str:
    """The name of a zero-based column: 0 is A, 26 is AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def column_of(name: str) -> int:
    """The zero-based column of a name: A is 0, AA is 26."""
    number = 0
    for letter in name.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def split(text: str) -> tuple[str | None, str | None]:
    """Title and area of a range text, either of them None where it is not there; the title without its quotes."""
    quoted = _QUOTED.match(text)
    if quoted:
        return quoted[1].replace("''", "'"), quoted[2]
    title, mark, area = text.rpartition("!")
    return (title, area) if mark else (None, text)


def area_of(text: str) -> Area | None:
    """`A1`, `B2:D9`, `B2:B`, `A:C`, `1:1`; None where the text is none of these."""
    first, colon, last = text.partition(":")
    one, two = _CORNER.match(first), _CORNER.match(last if colon else first)
    if not one or not two or not first or (colon and not last):
        return None
    if not colon and not (one[1] and one[2]):
        return None
    if colon and bool(one[1]) != bool(two[1]) and bool(one[2]) != bool(two[2]):
        return None
    rows, columns = _ends(one[2], two[2], int), _ends(one[1], two[1], lambda name: column_of(name) + 1)
    return Area(*rows, *columns)


def _ends(one: str | None, two: str | None, number: object) -> tuple[int, int | None]:
    assert callable(number)
    known = [int(number(part)) for part in (one, two) if part]
    if len(known) == 2:
        return min(known) - 1, max(known)
    return (known[0] - 1, None) if known else (0, None)


def quote(title: str) -> str:
    """The title as it stands in a range: quoted where it could be taken for something else."""
    if _PLAIN_TITLE.match(title) and not _LOOKS_LIKE_A1.match(title):
        return title
    return "'" + title.replace("'", "''") + "'"


def name_of(title: str, box: Box) -> str:
    """The range text of a box: `Stock!B2:D9`, `Stock!A1` for a single cell."""
    first = f"{letters(box.c0)}{box.r0 + 1}"
    last = f"{letters(box.c1 - 1)}{box.r1}"
    return f"{quote(title)}!{first}" if first == last else f"{quote(title)}!{first}:{last}"
