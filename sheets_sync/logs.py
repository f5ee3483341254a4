"""`configure`: one line an event, for people on a terminal and as JSON everywhere else, without any secret."""

from __future__ import annotations

import logging
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from sheets_sync.config import Section, Settings

HIDDEN = "[secret]"


def configure(level: int, stream: TextIO, secrets: Iterable[str] = ()) -> None:
    """Send our log and the libraries' to `stream`, from `level` (of `logging`) on, with `secrets` blotted out."""
    people = stream.isatty()
    render: list[Any] = [structlog.dev.ConsoleRenderer()] if people else [structlog.processors.JSONRenderer()]
    trace: list[Any] = [] if people else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *trace,
            Blot(secrets),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=max(level, logging.WARNING), format="%(name)s: %(message)s", force=True)


class Blot:
    """A structlog processor: whatever a message quotes, a secret of the config is not in it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = [secret for secret in secrets if len(secret) > 5]  # a shorter one would blot out plain words

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = self.clean(value)
        return event

    def clean(self, text: str) -> str:
        """The text, with each secret in it replaced by HIDDEN."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def secrets_in(settings: Settings) -> list[str]:
    """Every secret that the config knows."""
    sections: list[Section] = [settings.sheet, settings.ledger, settings.web, settings.alerts]
    sections += settings.channels.values()
    values = [getattr(section, name) for section in sections for name in type(section).model_fields]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
