"""How a spreadsheet's locale writes numbers and dates: what typing and showing need of it.

Google keeps the locale with the workbook; API patterns are written the English way whatever it is, and shown in the
locale's. Months are read and shown in English only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_DOT = frozenset("en ja zh ko th he iw hi ta te bn ml".split())  # languages that write 1.5; the others write 1,5
_DOT_PLACES = frozenset("es_MX es_PR es_US de_CH de_LI it_CH fr_CH".split())
_COMMA_PLACES = frozenset({"en_ZA"})
_YEAR_FIRST = {"ja": "/", "zh": "/", "ko": "-", "hu": ".", "sv": "-", "lt": "-", "en_CA": "-", "en_ZA": "/"}
_DOTTED = frozenset("de da nb no nn fi cs sk pl ru uk bg ro hr sr sl et lv tr is mk".split())  # 31.12.2026
_DASHED = frozenset({"nl", "pt_PT"})
_SPACED = frozenset("fr cs sk pl ru uk bg nb no nn fi sv hu lv et lt".split())  # 1 234 567
_SYMBOLS = {
    **dict.fromkeys(("US", "CA", "AU", "NZ", "MX", "SG", "HK", "PR"), "$"),
    **{"GB": "£", "JP": "¥", "CN": "¥", "IN": "₹", "KR": "₩", "CH": "CHF", "LI": "CHF", "SE": "kr", "NO": "kr"},
    **{"DK": "kr.", "PL": "zł", "CZ": "Kč", "BR": "R$", "TR": "₺", "RU": "₽", "UA": "₴", "IL": "₪", "ZA": "R"},
}


@dataclass(frozen=True, slots=True)
class Locale:
    """Marks of numbers, the order of a date's parts and what stands between them, the currency's symbol."""

    decimal: str = "."
    thousands: str = ","
    order: str = "MDY"
    date_mark: str = "/"
    symbol: str = "$"
    symbol_first: bool = True

    @property
    def list_mark(self) -> str:
        """What stands between a function's arguments."""
        return "," if self.decimal == "." else ";"

    @property
    def date_pattern(self) -> str:
        """How a date is shown that has no pattern of its own."""
        parts = {"MDY": ("m", "d", "yyyy"), "DMY": ("dd", "mm", "yyyy"), "YMD": ("yyyy", "mm", "dd")}[self.order]
        return self.date_mark.join(parts)


ENGLISH = Locale()


@lru_cache
def of(name: str | None) -> Locale:
    """The locale of a name like de_DE, de or en_GB; en_US where there is none."""
    name = (name or "en_US").replace("-", "_")
    if name == "en_US":
        return ENGLISH
    language, _, place = name.partition("_")
    dot = name in _DOT_PLACES or (language in _DOT and name not in _COMMA_PLACES)
    year_first = _YEAR_FIRST.get(name) or _YEAR_FIRST.get(language)
    dash = name in _DASHED or language in _DASHED
    symbol = _SYMBOLS.get(place) or ("$" if language == "en" else "€")
    return Locale(
        decimal="." if dot else ",",
        thousands=_thousands(language, place, dot),
        order="YMD" if year_first else "MDY" if name in ("en_PH", "es_PR") else "DMY",
        date_mark=year_first or ("." if language in _DOTTED else "-" if dash else "/"),
        symbol=symbol,
        symbol_first=dot or language in ("nl", "pt", "tr"),
    )


def _thousands(language: str, place: str, dot: bool) -> str:
    if place in ("CH", "LI"):
        return "’"
    if language in _SPACED or place == "ZA":
        return "\u00a0"
    return "," if dot else "."
