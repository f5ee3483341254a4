"""`sheets-sync adjust`, `deliveries` and the sources that `import` lists, at real local shops; O10 and O12."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sheets_sync.channel_sync import TIDY_EVERY
from sheets_sync.model import StoredDelivery
from tests.test_cli import Seller
from tests.world import World

MUG = "00123"


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command sets the log up for its process, which is here that of all tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def seller(tmp_path: Path) -> Iterator[Seller]:
    world = World(tmp_path)
    try:
        world.begin()
        yield Seller(world, tmp_path)
    finally:
        world.close()


def delivery(world: World, id: str, order: int) -> StoredDelivery:
    return StoredDelivery("woocommerce", id, "order.created", {"X-WC-Webhook-Topic": "order.created"},
                          b'{"id":%d}' % order, world.clock())  # fmt: skip


def test_adjust_records_and_says_so(seller: Seller) -> None:
    said = seller.does("adjust", MUG, "--change", "3", "--reason", "received", "--note", "van")
    assert "recorded: on hand +3" in said
    assert seller.world.figures(MUG) == "13/0/13"
    seller.does("adjust", MUG, "--set-to", "8")
    assert seller.world.figures(MUG) == "8/0/8"
    seller.does("adjust", MUG, code=2)
    assert "would leave -1" in seller.does("adjust", MUG, "--change", "-9", code=4)
    assert "none of return, cancellation" in seller.does("adjust", MUG, "--change", "1", "--reason", "x", code=4)
    assert "has no count" in seller.does("adjust", "NOPE", "--change", "1", code=4)


def test_adjust_with_an_orders_number_moves_its_units(seller: Seller) -> None:
    order = seller.world.shops["woocommerce"].shop.buy(MUG, 2)
    seller.world.channel_pass("woocommerce")
    seller.does("adjust", MUG, "--change", "-2", "--reason", "sold", "--reference", str(order))
    assert seller.world.figures(MUG) == "8/0/8"
    assert "at most 2" in seller.does("adjust", MUG, "--change", "3", "--reason", "return", "--reference", str(order),
                                      code=4)  # fmt: skip


def test_deliveries_are_listed_shown_and_replayed(seller: Seller) -> None:
    world = seller.world
    order = world.shops["woocommerce"].shop.buy(MUG, 2)
    with world.ledger.begin() as tx:
        tx.store_delivery(delivery(world, "d-1", order))
    assert "d-1" in seller.does("deliveries", "list", "--state", "waiting")
    assert f'"id": {order}' in seller.does("deliveries", "show", "woocommerce", "d-1")
    assert "d-1: 1 events" in seller.does("deliveries", "replay", "woocommerce", "d-1")
    assert world.figures(MUG) == "10/2/8"
    assert "d-1: 0 events" in seller.does("deliveries", "replay", "woocommerce", "d-1"), "twice does no harm"
    assert "applied" in seller.does("deliveries", "list", "woocommerce")
    assert "No deliveries." in seller.does("deliveries", "list", "--state", "waiting")
    assert "has no delivery 'nope'" in seller.does("deliveries", "show", "woocommerce", "nope", code=4)
    assert "no channel 'nope'" in seller.does("deliveries", "show", "nope", "d-1", code=4)


def test_deliveries_are_bounded(seller: Seller) -> None:
    world = seller.world
    world.desk.settings = dataclasses.replace(
        world.settings, ledger=world.settings.ledger.model_copy(update={"keep_deliveries": 3})
    )
    with world.ledger.begin() as tx:
        for number in range(6):
            tx.store_delivery(delivery(world, f"d-{number}", 1))
            tx.mark_delivery("woocommerce", f"d-{number}", "applied")
    tidied = world.channel_memory["woocommerce"].tidied_at
    assert tidied is not None
    world.channel_memory["woocommerce"].tidied_at = tidied - 2 * TIDY_EVERY
    world.channel_pass("woocommerce")
    with world.ledger.read() as view:
        assert len(view.deliveries()) == 3


def test_O10_import_lists_the_sources_of_orders(tmp_path: Path) -> None:
    """Before Start, where it can still be said that they are copies."""
    world = World(tmp_path)
    try:
        world.shops["woocommerce"].shop.buy(MUG, 1)
        said = Seller(world, tmp_path).does("import")
    finally:
        world.close()
    assert "Orders of the last 60 days" in said
    assert "asked about in Review" in said


def test_O10_copies_are_read_and_not_counted(seller: Seller) -> None:
    world, shop = seller.world, seller.world.shops["woocommerce"].shop
    order = shop.buy(MUG, 2)
    source = world.desk.channels["woocommerce"].order(str(order)).source
    about = world.settings.channels["woocommerce"].model_copy(update={"copies_of": (source,)})
    world.desk.settings = dataclasses.replace(
        world.settings, channels={**world.settings.channels, "woocommerce": about}
    )
    world.channel_pass("woocommerce")
    shop.ship(order)
    world.channel_pass("woocommerce")
    with world.ledger.read() as view:
        (line,) = view.lines("woocommerce")
    assert (world.figures(MUG), line.counted, line.level.sent) == ("10/0/10", False, 2)


def test_O12_orders_of_a_disabled_channel_are_read(seller: Seller) -> None:
    world = seller.world
    about = world.settings.channels["woocommerce"].model_copy(update={"enabled": False})
    world.desk.settings = dataclasses.replace(
        world.settings, channels={**world.settings.channels, "woocommerce": about}
    )
    world.shops["woocommerce"].shop.buy(MUG, 2)
    assert world.channel_pass("woocommerce").sent == ()
    assert world.figures(MUG) == "10/2/8"
    world.channel_pass("woocommerce2")
    assert world.figure("woocommerce2", MUG) == 8, "its sales count for the others"
