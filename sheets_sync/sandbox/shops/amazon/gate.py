"""Who may ask, and how often: Login with Amazon's tokens, and the usage plan of each operation.

A usage plan is a token bucket of the seller's account: it fills at `rate` a second up to `burst`. A call that finds it
empty is answered 429 and costs nothing. The rates are those of Amazon's models.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sheets_sync.sandbox.shops._common import Clock, Store, random_secret
from sheets_sync.sandbox.shops.amazon.model import stored

TOKEN_LIFE = timedelta(hours=1)
SELLER = "seller"
GRANTLESS = "sellingpartnerapi::notifications"


@dataclass(frozen=True)
class Plan:
    """Calls a second on average, and how many at once after a rest."""

    rate: float
    burst: int


PLANS: Mapping[str, Plan] = {
    "searchOrders": Plan(0.0056, 20),
    "getOrder": Plan(0.5, 30),
    "searchListingsItems": Plan(5, 5),
    "getListingsItem": Plan(5, 10),
    "patchListingsItem": Plan(5, 5),
    "getInventorySummaries": Plan(2, 2),
    "createFeedDocument": Plan(0.5, 15),
    "createFeed": Plan(0.0083, 15),
    "createListingsFeed": Plan(5 / 300, 5),
    "getFeed": Plan(2, 15),
    "getFeeds": Plan(0.0222, 10),
    "cancelFeed": Plan(2, 15),
    "getFeedDocument": Plan(0.0222, 10),
    "createReport": Plan(0.0167, 15),
    "getReport": Plan(2, 15),
    "getReportDocument": Plan(0.0167, 15),
    "notifications": Plan(1, 5),
    "getMarketplaceParticipations": Plan(0.016, 15),
}
"""By operation; `createListingsFeed` is createFeed of JSON_LISTINGS_FEED, `notifications` each operation of its API."""


class Limits:
    """The account's buckets, by the shop's clock. `enforced` False: only the headers are left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, datetime]] = {}
        self.plans: dict[str, Plan] = dict(PLANS)
        self.enforced = True

    def plan(self, operation: str) -> Plan:
        return self.plans.get(operation) or self.plans["notifications"]

    def allows(self, operation: str) -> bool:
        """Take one call out of the bucket, if it has one."""
        plan, now = self.plan(operation), self._clock()
        with self._lock:
            left, at = self._buckets.get(operation, (float(plan.burst), now))
            left = min(float(plan.burst), left + max((now - at).total_seconds(), 0.0) * plan.rate)
            allowed = left >= 1.0 or not self.enforced
            self._buckets[operation] = (max(left - 1.0, 0.0) if allowed else left, now)
        return allowed

    def refill(self) -> None:
        """As after a long rest."""
        with self._lock:
            self._buckets.clear()


class Tokens:
    """Login with Amazon: refresh tokens and client credentials for access tokens of an hour."""

    def __init__(self, store: Store, clock: Clock, credentials: Mapping[str, str]) -> None:
        self._store, self._clock, self._known = store, clock, credentials

    def grant(self, fields: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        """The answer of POST /auth/o2/token."""
        if not same(fields.get("client_id"), self._known["client_id"]) or not same(
            fields.get("client_secret"), self._known["client_secret"]
        ):
            return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
        kind = fields.get("grant_type")
        if kind == "refresh_token":
            if not same(fields.get("refresh_token"), self._known["refresh_token"]):
                return 400, {
                    "error": "invalid_grant",
                    "error_description": "The request has an invalid grant parameter : refresh_token."
                    " User may have revoked or didn't grant the permission.",
                }
            token = self._new(SELLER)
            return 200, {**token, "refresh_token": self._known["refresh_token"]}
        if kind == "client_credentials":
            if fields.get("scope") != GRANTLESS:
                return 400, {"error": "invalid_scope", "error_description": "An unknown scope was requested"}
            return 200, {**self._new(GRANTLESS), "scope": GRANTLESS}
        return 400, {"error": "unsupported_grant_type", "error_description": "The grant type is not supported"}

    def _new(self, scope: str) -> dict[str, object]:
        token = random_secret("Atza|", 60)
        with self._store.transaction() as db:
            db.execute("INSERT INTO token VALUES (?, ?, ?)", (token, scope, stored(self._clock() + TOKEN_LIFE)))
        return {"access_token": token, "token_type": "bearer", "expires_in": int(TOKEN_LIFE.total_seconds())}

    def refusal(self, token: str | None, scope: str) -> str | None:
        """Why this access token opens nothing (the `details` of the 403), or None: it does."""
        if not token:
            return "Access token is missing in the request header."
        with self._store.transaction() as db:
            row = db.execute("SELECT * FROM token WHERE token = ?", (token,)).fetchone()
        if row is None:
            return "The access token you provided is revoked, malformed or invalid."
        if row["expires"] <= stored(self._clock()):
            return "The access token you provided has expired."
        return (
            None if row["scope"] == scope else "The access token you provided has not the scope this operation needs."
        )

    def revoke(self) -> None:
        """Every access token ends now, as when its hour is over."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM token")


def same(given: str | None, wanted: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), wanted.encode())
