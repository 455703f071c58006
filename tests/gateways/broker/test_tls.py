"""TLS to a real server, with an authority made for the test."""

import datetime
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from treadle.events.errors import ConfigError, Unavailable
from treadle.gateways.broker.credentials import Credentials
from treadle.gateways.broker.nkey import UserKey
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.broker.tls import Tls
from treadle.gateways.buses.nats import NatsBus


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._signed(self._name, self._key, authority=True))

    def certificate(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        cert_path, key_path = (self._directory / f"{name}.{kind}" for kind in ("crt", "key"))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert_path.write_bytes(self._signed(subject, key, authority=False))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key_path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        return cert_path, key_path

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1)).add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncIterator[EmbeddedServer]:
    """A server that shows a certificate and wants one."""
    cert, key = authority.certificate("server")
    config = tmp_path / "tls.conf"
    config.write_text(f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{authority.path}", verify: true }}\n')
    async with EmbeddedServer(tmp_path / "nats", config=config) as server:
        yield server


async def test_both_sides_prove_who_they_are(server: EmbeddedServer, authority: Authority) -> None:
    cert, key = authority.certificate("node")
    async with await NatsBus.connect(server.url, tls=Tls(authority.path, cert, key)) as bus:
        await bus.publish("treadle.live.alice.x", b"hello")
        await bus.client.flush()


async def test_a_server_of_another_authority_is_not_spoken_to(
    server: EmbeddedServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    cert, key = authority.certificate("node")
    with pytest.raises(ConfigError, match=r"cannot be spoken to in TLS: .*certificate verify failed"):
        await NatsBus.connect(server.url, tls=Tls(stranger.path, cert, key), connect_timeout_s=1)


async def test_no_server_stays_unavailable_with_tls_and_credentials(authority: Authority, tmp_path: Path) -> None:
    seed = tmp_path / "alice.nk"
    seed.touch(0o600)
    seed.write_text(UserKey.generate().seed)
    with pytest.raises(Unavailable):
        await NatsBus.connect("nats://127.0.0.1:9", credentials=seed, tls=Tls(authority.path), connect_timeout_s=0.3)


def test_files_that_do_not_fit_are_named(authority: Authority, tmp_path: Path) -> None:
    cert, _ = authority.certificate("one")
    _, key = authority.certificate("other")
    for tls in (Tls(tmp_path / "missing"), Tls(authority.path, cert, key), Tls(authority.path, None, key)):
        with pytest.raises(ConfigError, match=r"TLS"):
            tls.context()


@pytest.mark.parametrize(("mode", "text"), [(0o644, ""), (0o600, "SUnonsense"), (0o600, "")])
def test_a_seed_that_is_damaged_or_open_to_others_is_refused_without_showing_it(
    tmp_path: Path, mode: int, text: str
) -> None:
    path = tmp_path / "alice.nk"
    path.write_text(text or UserKey.generate().seed[:-1] + "!")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="credentials file") as told:
        Credentials.read(path)
    assert path.read_text() not in str(told.value)
    assert UserKey.of_seed((key := UserKey.generate()).seed).public == key.public
