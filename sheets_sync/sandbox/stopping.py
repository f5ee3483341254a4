"""`stop_at_once(server)`: the end of a local server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from cheroot.server import HTTPServer

PATIENCE = 0.01  # seconds between two knocks


def stop_at_once(server: HTTPServer) -> None:
    """What is being answered is finished first. May be called twice.

    The accepting loop sleeps until somebody calls or its time is up, and would hear of the end that late: so we call.
    """
    address = server.bind_addr[:2]
    stopping = threading.Thread(target=server.stop, name="stopping")
    stopping.start()
    while stopping.is_alive() and server.socket is not None:
        with suppress(OSError), socket.create_connection(address, timeout=PATIENCE):
            pass
        stopping.join(PATIENCE)
    stopping.join()
