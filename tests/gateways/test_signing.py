import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from treadle.events.errors import ConfigError, Unavailable
from treadle.gateways.signing import Ed25519Signer, check_signature, key_path


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.audit.key"
    first, second = Ed25519Signer.open(path), Ed25519Signer.open(path)
    assert first.public_key == second.public_key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "runs.audit.key.pub").read_text().strip() == first.public_key
    assert {file.name for file in tmp_path.iterdir()} == {"runs.audit.key", "runs.audit.key.pub"}


def test_a_lost_public_key_is_written_again(tmp_path: Path) -> None:
    signer = Ed25519Signer.open(tmp_path / "runs.key")
    (tmp_path / "runs.key.pub").unlink()
    Ed25519Signer.open(tmp_path / "runs.key")
    assert (tmp_path / "runs.key.pub").read_text().strip() == signer.public_key


def test_two_journals_have_two_keys(tmp_path: Path) -> None:
    first, second = Ed25519Signer.open(tmp_path / "a.key"), Ed25519Signer.open(tmp_path / "b.key")
    assert first.public_key != second.public_key


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = [signer.public_key for signer in threads.map(Ed25519Signer.open, [tmp_path / "runs.key"] * 8)]
    assert len(set(keys)) == 1
    assert (tmp_path / "runs.key.pub").read_text().strip() == keys[0]


def test_a_signature_fits_its_message_and_its_key_only() -> None:
    signer, other = Ed25519Signer.generate(), Ed25519Signer.generate()
    signature = signer.sign(b"812 events")
    assert check_signature(signer.public_key, b"812 events", signature)
    assert not check_signature(signer.public_key, b"811 events", signature)
    assert not check_signature(other.public_key, b"812 events", signature)
    assert not check_signature("no key", b"812 events", signature)
    assert not check_signature("", b"812 events", b"")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.key"
    Ed25519Signer.open(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"mode 644.*chmod 600"):
        Ed25519Signer.open(path)


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.key"
    path.touch(mode=0o600)
    path.write_text("secret")
    with pytest.raises(ConfigError, match="holds no private key"):
        Ed25519Signer.open(path)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="signing key"):
        Ed25519Signer.open(tmp_path / "missing" / "runs.key")


def test_without_cryptography_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    extra = r"pip install treadle\[signing\]"
    with pytest.raises(ConfigError, match=extra):
        Ed25519Signer.open(tmp_path / "runs.key")
    with pytest.raises(ConfigError, match=extra):
        Ed25519Signer.generate()
    with pytest.raises(ConfigError, match=extra):
        check_signature("00", b"", b"")


def test_a_key_lies_beside_its_journal() -> None:
    assert key_path("data/events.db") == Path("data/events.audit.key")
