"""Every error we raise, sorted by who must act.

SheetsSyncError
├── SellerMustAct            a person has to change something; the message says what
│   ├── ConfigError              config.toml, one or many problems at once
│   ├── CredentialsRefused       a key, token or scope is wrong
│   ├── SheetNotReady            not initialised, not proven by doctor, not shared, not ours
│   └── BadInput                 a value that we were given is not what it must be
├── OtherSide                the vendor refused or is away
│   ├── ChannelRefused           a definite no to this request
│   ├── Unavailable              no answer, or 5xx: may be tried again, a read or an idempotent write only
│   ├── RateLimited              later, and when
│   └── OutcomeUnknown           a write was sent and nobody knows what became of it
├── NextPass                 nothing is wrong; look again and do it then
│   ├── LeaseLost                another worker drives this sheet or channel now
│   ├── ExchangeRefused          the sheet's chain has moved on
│   └── Stale                    a compare-and-set found another figure
├── DeliveryRefused          a webhook that we do not take
│   ├── Unsigned                 signature missing or wrong
│   ├── TooOld                   outside the replay window
│   └── Malformed                signed, but not readable
└── Ours                     a bug, or a ledger that contradicts itself
    ├── KeyConflict              the same dedup key with other contents
    ├── AlreadyReversed          a reversal cannot be made twice
    └── LedgerBroken             `ledger verify` does not hold
"""

from __future__ import annotations

from collections.abc import Sequence


class SheetsSyncError(Exception):
    """Root of all errors of this project."""


class SellerMustAct(SheetsSyncError):
    """A person has to change something; the message says what and where."""


class ConfigError(SellerMustAct):
    """The configuration has problems; all of them are listed, each with the way out."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class CredentialsRefused(SellerMustAct):
    """A key, a token or a scope was refused by the other side."""


class SheetNotReady(SellerMustAct):
    """The spreadsheet is not initialised, not proven by doctor, not shared with us, or not ours."""


class BadInput(SellerMustAct):
    """A value given to us is not what it must be; the message names the field, row or header."""


class OtherSide(SheetsSyncError):
    """A vendor refused or is away."""


class ChannelRefused(OtherSide):
    """A definite no to one request; repeating it as it is will not help."""


class Unavailable(OtherSide):
    """No answer, or a 5xx, to a request that changed nothing: it may be made again."""


class RateLimited(OtherSide):
    """Too many calls; `retry_after` is in seconds (None: the vendor did not say)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknown(OtherSide):
    """A write was sent and its answer is lost: it may have been applied. Never assumed either way."""


class NextPass(SheetsSyncError):
    """Nothing is wrong; the next pass looks again."""


class LeaseLost(NextPass):
    """Another worker drives this sheet or channel now; this transaction was not made."""


class ExchangeRefused(NextPass):
    """The sheet refused a batch whole: its chain is not where we thought. Nothing was written."""


class Stale(NextPass):
    """A compare-and-set found another figure than the one expected."""


class DeliveryRefused(SheetsSyncError):
    """A webhook delivery that we do not take; `status` is the HTTP status to answer with."""

    status = 400


class Unsigned(DeliveryRefused):
    """The signature is missing or wrong."""

    status = 401


class TooOld(DeliveryRefused):
    """The delivery was made outside the replay window."""

    status = 400


class Malformed(DeliveryRefused):
    """Signed by the right key, but its body cannot be read."""

    status = 400


class Ours(SheetsSyncError):
    """A bug of ours, or a ledger that contradicts itself."""


class KeyConflict(Ours):
    """The same dedup key was used with other contents."""


class AlreadyReversed(Ours):
    """A reversal cannot be made twice."""


class LedgerBroken(Ours):
    """`ledger verify` found balances or corrections that the events do not give."""
