"""A local Shopify: the Admin GraphQL API, its tokens, its webhooks, and a storefront to buy on.

`serve` starts one; `Running.shop` is the model, `Running.credentials` what an app (or the adapter) needs. The GraphQL
is executed over a schema with the vendor's names and types, so an invalid query is refused as there. What the vendor
has not published is said where it is decided: `Shop.mixed_batch`, `_cost.py`.
"""

from __future__ import annotations

import hmac
import json
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from sheets_sync.sandbox.shops._common import (
    Clock,
    Courier,
    Faults,
    HttpServer,
    Running,
    Seed,
    Store,
    random_secret,
    storefront_pages,
    utc_now,
)
from sheets_sync.sandbox.shops.shopify._graph import Engine
from sheets_sync.sandbox.shops.shopify._hooks import Hooks, sign
from sheets_sync.sandbox.shops.shopify._model import SCHEMA, Claim, Refunded, Shop
from sheets_sync.sandbox.shops.shopify._returns import Returns
from sheets_sync.sandbox.shops.shopify._schema import API_VERSIONS

__all__ = ["DEFAULT_VERSION", "SCOPES", "Claim", "Refunded", "Seed", "Shop", "serve", "sign"]

DEFAULT_VERSION = "2026-07"
TOKEN_LIFE = timedelta(hours=24)
SHORT_LIFE = timedelta(hours=1)
MOST_BODY = 4 * 1024 * 1024
SCOPES = (
    "read_products",
    "read_inventory",
    "write_inventory",
    "read_locations",
    "read_orders",
    "write_orders",
    "read_fulfillments",
    "write_fulfillments",
    "read_returns",
)


@dataclass
class Tokens:
    """Access tokens: the one that never ends (a custom app of old) and those of the client-credentials grant."""

    store: Store
    clock: Clock
    credentials: Mapping[str, str]
    scopes: tuple[str, ...]

    def grant(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer of POST /admin/oauth/access_token: client credentials, or a refresh token, each used once."""
        kind = fields.get("grant_type")
        if kind not in ("client_credentials", "refresh_token"):
            return 400, {"error": "unsupported_grant_type", "error_description": "Use client_credentials here."}
        right = _same(fields.get("client_id"), self.credentials["client_id"])
        if not right or not _same(fields.get("client_secret"), self.credentials["client_secret"]):
            return 401, {"error": "invalid_client", "error_description": "The client id or secret is wrong."}
        if kind == "client_credentials":
            return 200, self._new_token(TOKEN_LIFE)
        return self._refresh(fields.get("refresh_token"))

    def _new_token(self, life: timedelta) -> dict[str, Any]:
        token = random_secret("shpat_", 32)
        self.store.set_setting(f"token:{token}", (self.clock() + life).isoformat())
        return {"access_token": token, "scope": ",".join(self.scopes), "expires_in": int(life.total_seconds()) - 1}

    def _refresh(self, given: object) -> tuple[int, dict[str, Any]]:
        """The one before stays good until its replacement has been used, as a lost answer must not lock anyone out."""
        now = self.store.setting("refresh", lambda: self.credentials["refresh_token"])
        before = self.store.setting("refresh:before", lambda: "")
        if not _same(given, now) and not (before and _same(given, before)):
            return 400, {"error": "invalid_request", "error_description": "The refresh token is not valid."}
        after = random_secret("shprt_", 32)
        self.store.set_setting("refresh:before", str(given))
        self.store.set_setting("refresh", after)
        answer = self._new_token(SHORT_LIFE) | {"refresh_token": after, "refresh_token_expires_in": 7_776_000}
        return 200, answer

    def accepts(self, token: str | None) -> bool:
        if not token:
            return False
        if _same(token, self.credentials["access_token"]):
            return True
        with self.store.transaction() as db:
            row = db.execute("SELECT value FROM setting WHERE name = ?", (f"token:{token}",)).fetchone()
        return row is not None and str(row["value"]) > self.clock().isoformat()

    def revoke_grants(self) -> None:
        """Every token of the grant ends now (as when its 24 hours are over)."""
        with self.store.transaction() as db:
            db.execute("DELETE FROM setting WHERE name LIKE 'token:%'")


def _same(given: object, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def serve(
    data: Path | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    credentials: Mapping[str, str] | None = None,
    clock: Clock = utc_now,
    seed: Iterable[Seed] | None = None,
    name: str = "Local Shopify",
    scopes: Iterable[str] = SCOPES,
) -> Running:
    """Start a local Shopify on `port` (0: any free one), its state in the file `data` (None: in memory only).

    `credentials` may fix `client_id`, `client_secret`, `access_token` or `refresh_token`; the others are made once and
    kept. `seed` fills a shop that has no products yet. `Running.shop.hooks`, `.tokens`, `.returns` and `.api` reach
    webhooks, tokens, returns and limits.
    """
    store = Store(data, SCHEMA)
    known = _credentials(store, credentials or {})
    domain = known["shop"]
    hooks = Hooks(store, clock, domain, known["client_secret"], DEFAULT_VERSION)
    courier = Courier(hooks)
    hooks.wake = courier.wake
    shop = Shop(store, clock, name)
    shop.emit = hooks.emit
    shop.seed(seed or ())
    tokens = Tokens(store, clock, known, tuple(scopes))
    engine = Engine(shop, hooks, clock, domain, tokens.scopes)
    engine.forget_keys()
    shop.hooks, shop.courier, shop.tokens, shop.api, shop.returns = hooks, courier, tokens, engine, Returns(shop)
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.register_blueprint(storefront_pages(shop))
    _api_routes(app, engine, tokens)
    faults = Faults(app.wsgi_app)
    server = HttpServer(faults, port, host)
    engine.bulk.files_at = server.base_url
    closers = (server.close, courier.close, store.close)
    return Running("shopify", server.base_url, f"{server.base_url}/", known, shop, faults, closers)


def _credentials(store: Store, given: Mapping[str, str]) -> dict[str, str]:
    make = {
        "shop": lambda: f"local-{secrets.token_hex(3)}.myshopify.com",
        "client_id": lambda: secrets.token_hex(16),
        "client_secret": lambda: random_secret("shpss_", 32),
        "access_token": lambda: random_secret("shpat_", 32),
        "refresh_token": lambda: random_secret("shprt_", 32),
    }
    for name in given:
        if name not in make:
            raise ValueError(f"A local Shopify has no credential '{name}'; it has {', '.join(make)}.")
        store.set_setting(name, given[name])
    return {name: store.setting(name, maker) for name, maker in make.items()}


def _api_routes(app: Flask, engine: Engine, tokens: Tokens) -> None:
    @app.post("/admin/oauth/access_token")
    def access_token() -> Response:
        fields = request.get_json(silent=True) if request.is_json else request.form.to_dict()
        status, body = tokens.grant(fields if isinstance(fields, dict) else {})
        return _json(body, status)

    @app.get("/bulk/<int:id>.jsonl")
    def bulk_file(id: int) -> Response:
        found = engine.bulk.file(id)
        return Response(found or b"", 404 if found is None else 200, content_type="application/jsonl")

    @app.post("/admin/api/<version>/graphql.json")
    def graphql(version: str) -> Response:
        if not tokens.accepts(request.headers.get("X-Shopify-Access-Token")):
            text = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return _json({"errors": text}, 401)
        if version not in API_VERSIONS:
            return _json({"errors": "Not Found"}, 404)
        answer = _json(engine.answer(*_graphql_request()))
        answer.headers["X-Shopify-API-Version"] = version
        return answer


def _graphql_request() -> tuple[str, dict[str, Any], str | None]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        raise BadRequest("The body must be JSON with a 'query'.")
    variables, name = body.get("variables"), body.get("operationName")
    return body["query"], variables if isinstance(variables, dict) else {}, name if isinstance(name, str) else None


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    answer = Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json; charset=utf-8")
    answer.headers["X-Request-Id"] = str(uuid.uuid4())
    return answer
