from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from treadle.events.errors import Unavailable
from treadle.gateways.seal_file import SealFile, seals_path


def test_seals_are_kept_in_order_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "runs.audit.seals"
    assert list(SealFile(path).lines()) == []
    SealFile(path).append(b"first")
    SealFile(path).append(b"second")
    assert list(SealFile(path).lines()) == [b"first", b"second"]


def test_seals_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "runs.audit.seals"
    lines = [bytes([65 + number]) * 400 for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(SealFile(path).append, lines))
    assert sorted(SealFile(path).lines()) == lines


def test_a_seal_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "runs.audit.seals"
    SealFile(path).append(b"first")
    with path.open("ab") as file:
        file.write(b"sec")
    SealFile(path).append(b"third")
    assert list(SealFile(path).lines()) == [b"first", b"sec", b"third"]


def test_a_file_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="seal file"):
        SealFile(tmp_path / "missing" / "runs.audit.seals").append(b"first")


def test_seals_lie_beside_their_journal() -> None:
    assert seals_path("data/events.db") == Path("data/events.audit.seals")
