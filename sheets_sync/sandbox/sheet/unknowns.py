"""What nobody found has written down about the real service: how this server behaves in each such thing.

A seller's sheet may behave either way, so whoever relies on one of them has to be right under both, or to notice and
refuse to work there. Each field says what is unknown; its default is what the rest of the API makes likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Unknowns:
    """One way in which the real service may behave."""

    copies_hidden_rows: bool = True
    """`copyPaste` takes along rows that a basic filter hides. Else it leaves them out and writes into none of them."""

    refuses_missing_range: bool = True
    """`deleteNamedRange` refuses an id that is not there. Else it does nothing."""

    restores_named_ranges: bool = True
    """Restoring an old version brings its named ranges back. Else those of today stay."""

    keeps_given_range_ids: bool = True
    """A named range takes the id that it is given. Else it gets one of Google's own form, which the reply tells."""

    name_is_free_at_once: bool = True
    """A name deleted in a batch can be given again in the same batch. Else that is refused."""

    replaces_in_numbers: bool = True
    """`findReplace` finds text within numbers, as they are shown. Else it leaves numbers alone."""

    names_first_refusal: bool = True
    """Of several requests that can not be done, the refusal names the first. Else it names the last."""

    def changed(self) -> dict[str, bool]:
        """The fields that are not as by default, for the journal."""
        return {name: value for name, value in asdict(self).items() if value != getattr(DEFAULT, name)}

    @classmethod
    def of(cls, changed: Mapping[str, Any] | None) -> Unknowns:
        """The inverse of `changed`."""
        return cls(**{name: bool(value) for name, value in changed.items()}) if changed else DEFAULT


DEFAULT = Unknowns()
