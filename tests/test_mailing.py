"""E-mail through a real SMTP server on this machine: encrypted, signed in, and told without the password where not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from sheets_sync.config import AlertSettings
from sheets_sync.errors import Unavailable
from sheets_sync.mailing import Mail

USER, PASSWORD = "stock@example.com", "gaertner-7"


class Box(Message):
    """What arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []

    def handle_message(self, message: Any) -> None:
        self.got.append(f"{message['Subject']} to {message['To']}: {message.get_payload().strip()}")


def allowed(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


class Here(Controller):
    """On a port that the system gives."""

    def __init__(self, box: Box, **how: Any) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        super().__init__(box, hostname="127.0.0.1", port=self.sock.getsockname()[1], **how)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self.sock, ssl=self.ssl_context)


@contextmanager
def serving(**how: Any) -> Iterator[tuple[int, list[str]]]:
    """Its port, and what arrives."""
    box = Box()
    server = Here(box, **how)
    server.start()
    try:
        yield server.port, box.got
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for this machine, which nobody trusts unless told to."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("keys") / "here.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def mail(port: int, *, password: str = PASSWORD, security: str = "starttls") -> Mail:
    return Mail(AlertSettings(
        email_to=("boss@example.com",), smtp_host="127.0.0.1", smtp_port=port, smtp_security=security,  # type: ignore[arg-type]
        smtp_user=USER, smtp_password=SecretStr(password),
    ))  # fmt: skip


def refused(one: Mail) -> str:
    with pytest.raises(Unavailable) as error:
        one("Low\nstock", "A has 1", ())
    assert PASSWORD not in str(error.value) and error.value.__cause__ is None
    return str(error.value)


def signing_in(tls: ssl.SSLContext) -> dict[str, Any]:
    return {"tls_context": tls, "require_starttls": True, "auth_required": True, "authenticator": allowed}


@pytest.mark.usefixtures("trusted")
def test_by_starttls_and_signed_in(tls: ssl.SSLContext) -> None:
    with serving(**signing_in(tls)) as (port, got):
        mail(port)("Low\nstock", "A has 1", ())
        assert got == ["Low stock to boss@example.com: A has 1"]
        assert refused(mail(port, password="wrong")).startswith(
            "the mail server 127.0.0.1 refused smtp_user or its password (535 5.7.8 Authentication credentials invalid"
        )
        assert "letters beyond ASCII" in refused(mail(port, password="wörter"))
        assert len(got) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.usefixtures("trusted")
def test_encrypted_from_the_first_byte(tls: ssl.SSLContext) -> None:
    how = {"auth_required": True, "auth_require_tls": False, "authenticator": allowed}  # it is encrypted already
    with serving(ssl_context=tls, **how) as (port, got):
        mail(port, security="tls")("Held", "2 changes", ())
        assert got == ["Held to boss@example.com: 2 changes"]


def test_a_server_that_may_be_another_one_is_told_nothing(tls: ssl.SSLContext) -> None:
    with serving(**signing_in(tls)) as (port, got):
        assert "shows a certificate that is not trusted (self-signed certificate)" in refused(mail(port))
        assert got == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_without_encryption_the_password_is_not_sent() -> None:
    with serving(auth_require_tls=False, authenticator=allowed) as (port, got):
        assert "offers no STARTTLS encryption" in refused(mail(port))
        assert got == []
