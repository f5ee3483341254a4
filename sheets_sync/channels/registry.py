"""`build(settings)`: a section of config.toml -> the channel that it describes.

One line a kind. An adapter is imported when a shop of its kind is configured, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from sheets_sync.channels import Channel, Clock
from sheets_sync.channels.http import NoShelf, Shelf
from sheets_sync.config import ChannelSettings


def utcnow() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)


def _amazon(settings: Any, clock: Clock, shelf: Shelf) -> Channel:
    from sheets_sync.channels.amazon import Amazon
    from sheets_sync.channels.amazon.queue import SqsQueue

    queue = None
    if settings.sqs_queue is not None:
        keys = _plain(settings.aws_access_key_id), _plain(settings.aws_secret_access_key)
        queue = SqsQueue(settings.name, settings.sqs_queue, settings.aws_region, *keys)
    return Amazon(
        settings.name,
        settings.seller_id,
        settings.marketplaces,
        client_id=_plain(settings.client_id),
        client_secret=_plain(settings.client_secret),
        refresh_token=_plain(settings.refresh_token),
        region=settings.region,
        address=settings.address or "",
        webhook_secret=_plain(settings.signed_with),
        old_webhook_secret=_plain(settings.old_webhook_secret),
        aws_account=settings.aws_account_id,
        aws_region=settings.aws_region,
        queue=queue,
        clock=clock,
        shelf=shelf,
    )


def _woocommerce(settings: Any, clock: Clock, shelf: Shelf) -> Channel:
    from sheets_sync.channels.woocommerce import WooCommerce

    return WooCommerce(
        settings.name,
        settings.address,
        _plain(settings.consumer_key),
        _plain(settings.consumer_secret),
        webhook_secret=_plain(settings.signed_with),
        old_webhook_secret=_plain(settings.old_webhook_secret),
        keys_in_query=settings.keys_in_query,
        clock=clock,
    )


def _shopify(settings: Any, clock: Clock, shelf: Shelf) -> Channel:
    from sheets_sync.channels.shopify import Shopify

    return Shopify(
        settings.name,
        settings.shop,
        settings.address,
        access_token=_plain(settings.access_token),
        refresh_token=_plain(settings.refresh_token),
        client_id=_plain(settings.client_id),
        client_secret=_plain(settings.client_secret),
        webhook_secret=_plain(settings.signed_with),
        old_webhook_secret=_plain(settings.old_webhook_secret),
        location=settings.location,
        places=settings.places,
        clock=clock,
        shelf=shelf,
    )


def _http_json(settings: Any, clock: Clock, shelf: Shelf) -> Channel:
    from sheets_sync.channels.http_json import HttpJson

    return HttpJson(
        settings.name,
        settings.address,
        _plain(settings.secret),
        webhook_secret=_plain(settings.signed_with),
        old_webhook_secret=_plain(settings.old_webhook_secret),
        clock=clock,
    )


BUILDERS: Mapping[str, Callable[[Any, Clock, Shelf], Channel]] = MappingProxyType(
    {"amazon": _amazon, "http_json": _http_json, "shopify": _shopify, "woocommerce": _woocommerce}
)
"""Kind -> builder; each takes the settings class that `sheets_sync.config.KINDS` has for the kind."""


def build(settings: ChannelSettings, *, clock: Clock = utcnow, shelf: Shelf | None = None) -> Channel:
    """The channel that a section describes. Nothing is called yet; `check()` finds out whether it can be reached.

    `shelf` is where a vendor's rotating tokens are kept; without one they last as long as the process.
    """
    return BUILDERS[settings.kind](settings, clock, shelf or NoShelf())


def build_all(
    settings: Mapping[str, ChannelSettings],
    *,
    clock: Clock = utcnow,
    shelves: Callable[[str], Shelf] = lambda name: NoShelf(),
) -> dict[str, Channel]:
    """Every configured channel by name, in the order of the config; `shelves` gives each its own shelf for tokens."""
    return {name: build(channel, clock=clock, shelf=shelves(name)) for name, channel in settings.items()}


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
