"""Amazon: the contract against the local Amazon, published examples, and what only this vendor does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sheets_sync.channels import Channel, RawRequest
from sheets_sync.channels.amazon import Amazon
from sheets_sync.channels.amazon.hooks import KEY_HEADER
from sheets_sync.errors import Unsigned
from sheets_sync.model import Ref
from sheets_sync.sandbox.shops._common import Running, Seen
from sheets_sync.sandbox.shops.amazon import Pace, Plan, serve
from tests.amazon_models import Checked, operations
from tests.contract import ChannelContract, Counter, Receiver

SECRET = "the-key-of-the-api-destination"
SHARED = Path(__file__).resolve().parents[2] / "shared"
AWS = {"aws_account": "123456789012", "aws_region": "eu-west-1"}


def adapter(running: Running, **given: Any) -> Amazon:
    keys = running.credentials
    about = {
        "client_id": keys["client_id"], "client_secret": keys["client_secret"], "refresh_token": keys["refresh_token"],
        "address": running.base_url, "webhook_secret": SECRET, **AWS,
    }  # fmt: skip
    return Amazon("amazon", keys["seller_id"], keys["marketplaces"].split(","), **{**about, **given})


class AmazonCounter(Counter):
    """A local Amazon where everything is applied at once, and nobody counts the calls."""

    can_delete = False

    @property
    def shop(self) -> Any:
        return self.running.shop

    def another(self, **credentials: str) -> Channel:
        wrong = {"client_secret": "wrong"} if credentials.pop("wrong", "") else {}
        return adapter(self.running, **credentials, **wrong)

    def add(self, sku: str, title: str, stock: int) -> None:
        self.shop.add_product(sku, title, stock)

    def figure(self, sku: str) -> int | None:
        figure: int | None = self.shop.figure(sku)
        return figure

    def buy(self, sku: str, units: int) -> str:
        return str(self.shop.buy(sku, units))

    def ship(self, order: str) -> None:
        self.shop.ship(order)

    def cancel(self, order: str) -> None:
        self.shop.cancel(order)

    def delete(self, order: str) -> None:
        raise NotImplementedError("an order on Amazon cannot be deleted")

    def webhook_secret(self) -> str:
        return SECRET

    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        return replace(request, body=body)

    def settle(self) -> None:
        assert self.shop.wait_delivered()

    def missing_ref(self) -> Ref:
        return Ref("000-0000000-0000000")

    def is_write(self, seen: Seen) -> bool:
        reads = ("/auth/", "/documents")
        return seen.method in ("POST", "PUT", "PATCH", "DELETE") and not any(part in seen.path for part in reads)


@pytest.fixture
def counter() -> Iterator[AmazonCounter]:
    with serve(None, pace=Pace.at_once()) as running:
        running.shop.limits.enforced = False
        # a seller of much business: the header says so
        for operation in ("patchListingsItem", "searchListingsItems", "notifications"):
            running.shop.limits.plans[operation] = Plan(5000, 5)
        checked = Checked(running.faults.app, operations(SHARED)) if SHARED.is_dir() else None
        if checked is not None:
            running.faults.app = checked
        channel = adapter(running)
        yield AmazonCounter(running, channel)
        channel.close()
        # an oversold figure is what the contract asks for, and not what Amazon's model knows
        problems = [p for p in (checked.problems if checked else ()) if "is less than the minimum of 0" not in p]
        assert not problems, problems


class TestAmazon(ChannelContract):
    @pytest.fixture
    def counter(self, counter: AmazonCounter) -> Iterator[AmazonCounter]:
        yield counter

    @pytest.fixture
    def receiver(self, counter: AmazonCounter) -> Iterator[Receiver]:
        receiver = Receiver()
        # the seller's own rule in AWS: each event goes to our address, with a key that he made up
        counter.shop.notices.forward(f"{receiver.url}/webhooks/amazon", SECRET, KEY_HEADER)
        yield receiver
        receiver.close()

    def test_a_delivery_tampered_with_is_refused(self, counter: Counter, receiver: Receiver) -> None:
        """EventBridge signs nothing, so a body can be tampered with: it only ever says where to look."""
        delivery = self.hooked(counter, receiver)[0]
        nothing = {k: v for k, v in delivery.headers.items() if k.lower() != KEY_HEADER.lower()}
        for headers in (nothing, {**nothing, KEY_HEADER: SECRET + "x"}, dict.fromkeys(delivery.headers, "é")):
            with pytest.raises(Unsigned):
                counter.channel.verify(replace(delivery, headers=headers))
        assert all(signal.order is None for signal in counter.channel.signals(delivery))
