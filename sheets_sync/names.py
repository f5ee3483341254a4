"""SKUs that people take for one another: by case, spaces, leading zeros, or letters that look alike."""

from __future__ import annotations

import re
import unicodedata

_ALIKE = str.maketrans("oilаеорсухкмтвн", "011aeopcyxkmtbh")  # the second half of the first is Cyrillic
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def form(sku: str, *, separators: bool = True) -> str:
    """What SKUs that look alike have in common. Without `separators`, `AB-1` and `AB 1` look like `AB1` as well."""
    text = "".join(unicodedata.normalize("NFKC", sku).casefold().split()).translate(_ALIKE)
    if not separators:
        text = re.sub(r"[-_./]+", "", text)
    return _ZEROS.sub("", text)


def bare(barcode: str) -> str:
    """A barcode without the zeros that a UPC gains as an EAN, or loses in a spreadsheet."""
    return barcode.strip().lstrip("0")
