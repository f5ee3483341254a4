"""A `World` without sockets between the service and the others: the same servers' applications, called in its thread.

Nothing else differs: gspread and the adapters speak HTTP, and what goes over the wire passes the shops' hands as ever.
"""

from __future__ import annotations

from sheets_sync.channels.http import Session
from sheets_sync.desk import Desk
from sheets_sync.sandbox.sheet.server import create_app
from sheets_sync.sheet.workbook import Workbook
from tests.in_process import AppAdapter
from tests.unhurried import parts
from tests.whole import ShopAdapter
from tests.world import World


class Near(World):
    """Cheaper by what sockets and a server's thread cost; for worlds in which nobody acts beside the passes."""

    def new_desk(self) -> Desk:
        desk = super().new_desk()
        for name, channel in desk.channels.items():
            shop = self.shops[name]
            adapter = ShopAdapter(shop, lambda call, go: go())
            for _, _, held in parts(channel):
                if isinstance(held, Session):
                    held._http.mount(shop.base_url, adapter)
        return desk

    def new_workbook(self) -> Workbook:
        workbook = super().new_workbook()
        address, app = self.sheet.base_url, create_app(self.sheet.store)
        workbook._http.session.mount(address, AppAdapter(app, lambda call, go: go(), address))
        return workbook
