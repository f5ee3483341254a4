"""Alerts by e-mail: encrypted before a word is said, signed in where one has to; what fails is told without secrets."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage

from sheets_sync.alerts import Alert
from sheets_sync.config import AlertSettings
from sheets_sync.errors import Unavailable

TIMEOUT = 15.0
"""Seconds for a mail server to answer."""


@dataclass(frozen=True)
class Mail:
    """The way by e-mail, as `[alerts]` has it."""

    settings: AlertSettings

    def __call__(self, subject: str, body: str, told: Sequence[Alert]) -> None:
        """Send one message to all of email_to. Raises Unavailable where it was not taken."""
        mail = EmailMessage()
        mail["Subject"] = " ".join(subject.split())
        mail["From"], mail["To"] = self.settings.sender, ", ".join(self.settings.email_to)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(body)
        try:
            with self._connected() as server:
                server.send_message(mail)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:  # its chain may hold the password
            raise Unavailable(self._without_password(self._words(error))) from None

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        wanted, context = self.settings, ssl.create_default_context()
        with ExitStack() as stack:
            host, port = wanted.smtp_host, wanted.smtp_port
            if wanted.smtp_security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
            else:
                server = smtplib.SMTP(host, port, timeout=TIMEOUT)
            stack.callback(server.close)
            if wanted.smtp_security == "starttls":
                server.starttls(context=context)
            if wanted.smtp_user:
                server.login(wanted.smtp_user, self._password)
            yield server
            server.quit()

    @property
    def _password(self) -> str:
        given = self.settings.smtp_password
        return given.get_secret_value() if given else ""

    def _words(self, error: Exception) -> str:
        """What was seen and what to do."""
        who = f"the mail server {self.settings.smtp_host}"
        match error:
            case smtplib.SMTPAuthenticationError():
                return f"{who} refused smtp_user or its password ({_said(error)}): correct them in [alerts]"
            case smtplib.SMTPResponseException():
                return f"{who} did not take it: {_said(error)}"
            case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
                return f"{who} offers no STARTTLS encryption: try smtp_security 'tls' and port 465, or another server"
            case ssl.SSLCertVerificationError():
                return f"{who} shows a certificate that is not trusted ({error.verify_message}): is smtp_host its name?"
            case UnicodeError():
                return f"{who} cannot be told smtp_user and its password: they have letters beyond ASCII"
        return f"{who} did not take it: {error}"

    def _without_password(self, text: str) -> str:
        return text.replace(self._password, "***") if self._password else text


def _said(error: smtplib.SMTPResponseException) -> str:
    words = error.smtp_error
    return f"{error.smtp_code} {words.decode(errors='replace') if isinstance(words, bytes) else words}".strip()
