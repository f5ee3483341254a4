"""The local sheet and the local shops: the vendors' own protocols on this machine, for tests and rehearsal."""

VENDORS = ("amazon", "http_json", "shopify", "woocommerce")
"""The vendors that have a local shop: the words that `shops.serve` takes."""
