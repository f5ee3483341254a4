"""Calls to one shop: `Api.ask` for queries, `Api.change` for mutations, sent once, and the token that they need.

A query costs points from a bucket for each app and shop; every answer says what is left, and how much a call of this
kind was priced at. A 200 may carry a refusal, which `graphql_error` sorts by who must act.

A token comes in one of three ways: it never ends (a custom app of old); an app's client credentials give one for a day;
or it ends after an hour and its refresh token, which changes each time, gives the next (a public app's offline access).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sheets_sync.channels import Clock
from sheets_sync.channels.http import (
    Answer,
    HttpRefused,
    Limiter,
    Session,
    Shelf,
    Token,
    TokenAuth,
    TokenKeeper,
    seed_of,
)
from sheets_sync.channels.shopify.documents import API_VERSION
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    SheetsSyncError,
    Unavailable,
)

POINTS_PER_SECOND, POINTS_AT_ONCE = 100.0, 1000.0
"""Until the first answer tells: the Standard plan's rate, and the most that a single query may cost."""

USUAL_COST = 50.0
"""Points to wait for before the first call of a kind; afterwards what the vendor asked for it last time."""


@dataclass(frozen=True)
class Keys:
    """What a shop lets us in with; blank where it is not given."""

    access_token: str = ""
    refresh_token: str = ""
    client_id: str = ""
    client_secret: str = ""

    def first_token(self) -> Token | None:
        """The token to begin with. One that can be refreshed may have ended long ago: it is refreshed at once."""
        if self.refresh_token:
            return Token("", refresh=self.refresh_token)
        return Token(self.access_token) if self.access_token else None


class Api:
    """One app's calls to one shop. `name` is the channel's, for messages."""

    def __init__(
        self,
        name: str,
        address: str,
        keys: Keys,
        *,
        secrets: tuple[str, ...],
        clock: Clock,
        shelf: Shelf | None,
        limiter: Limiter | None,
        timeout: tuple[float, float],
    ) -> None:
        self.name, self.keys, self._clock = name, keys, clock
        self._limiter = limiter or Limiter(POINTS_PER_SECOND, POINTS_AT_ONCE)
        self._costs: dict[str, float] = {}
        known = (keys.access_token, keys.refresh_token, keys.client_secret, *secrets)
        self._door = Session(address, who=name, secrets=known, timeout=timeout)
        seed = seed_of(keys.client_id, keys.access_token, keys.refresh_token)
        keeper = TokenKeeper(
            self._fetch_token,
            shelf=shelf if keys.refresh_token else None,  # the others can be had anew at any time
            seed=seed,
            token=keys.first_token(),
            clock=clock,
        )
        self._session = Session(
            f"{address}/admin/api/{API_VERSION}/",
            who=name,
            auth=TokenAuth(keeper, "X-Shopify-Access-Token", ""),
            limiter=None,  # calls here cost points: `_Points`
            secrets=known,
            timeout=timeout,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()
        self._door.close()

    def data(self, document: str, variables: Mapping[str, Any]) -> Any:
        """What a query answers under `data`."""
        return self.ask(document, variables).data["data"]

    def ask(self, document: str, variables: Mapping[str, Any]) -> Answer:
        """A query: may be made again."""
        body, check = {"query": document, "variables": variables}, _Check(self, document, False)
        return self._session.read("POST", "graphql.json", json=body, check=check, limiter=_Points(self, document))

    def change(self, document: str, variables: Mapping[str, Any]) -> Answer:
        """A mutation: sent once."""
        body, check = {"query": document, "variables": variables}, _Check(self, document, True)
        return self._session.write("POST", "graphql.json", json=body, check=check, limiter=_Points(self, document))

    def lines(self, url: str) -> Iterator[bytes]:
        """The lines of a file that Shopify has put on a storage server; it is shown no token."""
        return self._door.lines(url)

    def pay(self, document: str) -> None:
        """Wait until there are points for one more of these calls."""
        self._limiter.acquire(self._costs.get(document, USUAL_COST))

    def learn(self, document: str, cost: Mapping[str, Any]) -> None:
        """What an answer says of its own cost and of the bucket."""
        if cost.get("requestedQueryCost"):
            self._costs[document] = float(cost["requestedQueryCost"])
        status = cost.get("throttleStatus")
        if status:
            self._limiter.left(
                float(status["currentlyAvailable"]),
                rate=float(status["restoreRate"]),
                burst=float(status["maximumAvailable"]),
            )

    def _fetch_token(self, before: Token | None) -> Token:
        keys = self.keys
        if not keys.client_secret or not keys.client_id:
            raise CredentialsRefused(
                f"{self.name}: Shopify refuses the token. Put a new access_token, or the app's client_id and "
                "client_secret, in config.toml"
            )
        grant = {"client_id": keys.client_id, "client_secret": keys.client_secret}
        if keys.refresh_token:
            refresh = before.refresh if before is not None else keys.refresh_token
            grant |= {"grant_type": "refresh_token", "refresh_token": refresh}
            hint = (
                "Its refresh token may have been used elsewhere: install the app on the shop again and give the new one"
            )
        else:
            grant |= {"grant_type": "client_credentials"}
            hint = (
                "Check client_id and client_secret, that the app is installed on this shop, and that the shop belongs "
                "to the app's own organisation"
            )
        began = self._clock()
        try:
            data = self._door.read("POST", "/admin/oauth/access_token", json=grant).data
        except (HttpRefused, CredentialsRefused) as error:
            raise CredentialsRefused(f"{self.name}: Shopify gave no token ({error}). {hint}") from error
        life = timedelta(seconds=float(data.get("expires_in") or 0))
        return Token(str(data["access_token"]), began + life if life else None, str(data.get("refresh_token") or ""))


@dataclass(frozen=True)
class _Check:
    """Reads the cost that comes with every answer, then raises what a 200 refuses."""

    api: Api
    document: str
    write: bool

    def __call__(self, answer: Answer, /) -> None:
        self.api.learn(self.document, cost_of(answer.data))
        error = graphql_error(self.api.name, answer.data, write=self.write)
        if error is not None:
            raise error


class _Points(Limiter):
    """What a call costs as it is known just before it is made: a throttled one has told it, and is made again."""

    def __init__(self, api: Api, document: str) -> None:
        self._api, self._document = api, document

    def acquire(self, units: float = 1.0) -> None:
        self._api.pay(self._document)


class TooDear(ChannelRefused):
    """A query that costs more than any may; a smaller page will do."""


def graphql_error(who: str, data: Any, *, write: bool) -> SheetsSyncError | None:
    """The error that a 200 carries, sorted by who must act; None where the answer is good.

    THROTTLED was not executed; how long until it may be is worked out from the bucket that comes with it.
    """
    errors: Any = data.get("errors") if isinstance(data, dict) else "the answer is not an object"
    if not errors:
        return None
    if isinstance(errors, str):
        return ChannelRefused(f"{who}: Shopify refused the request: {errors[:300]}")
    codes = {str(e.get("extensions", {}).get("code", "")) for e in errors}
    said = "; ".join(str(e.get("message", ""))[:200] for e in errors[:3])
    if "THROTTLED" in codes:
        return RateLimited(f"{who}: Shopify has no points left for this call", _wait(data))
    if "ACCESS_DENIED" in codes or "UNAUTHORIZED" in codes:
        return CredentialsRefused(
            f"{who}: the app may not do this: {said}. Give it the scopes in docs/channels/shopify.md"
        )
    if "MAX_COST_EXCEEDED" in codes:
        return TooDear(f"{who}: {said}")
    if codes & {"INTERNAL_SERVER_ERROR", "TIMEOUT"}:
        text = f"{who}: Shopify failed: {said}"
        return OutcomeUnknown(f"{text}; it may have been applied") if write else Unavailable(text)
    return ChannelRefused(f"{who}: Shopify refused the request: {said}")


def cost_of(data: Any) -> Mapping[str, Any]:
    """What an answer says of its cost; empty where it does not."""
    extensions = data.get("extensions") if isinstance(data, dict) else None
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else {}


def _wait(data: Any) -> float | None:
    cost = cost_of(data)
    status = cost.get("throttleStatus") or {}
    if not status.get("restoreRate"):
        return None
    missing = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    return max(0.1, math.ceil(10 * missing / float(status["restoreRate"])) / 10)
