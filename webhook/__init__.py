"""The web side: webhooks from shops, edit notifications from the sheet, health and metrics."""

from webhook.app import create_app
from webhook.server import Running, serve

__all__ = ["Running", "create_app", "serve"]
