"""A process that was paused, taken for dead and taken over begins nothing when it wakes."""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash.children import TESTS

ROUNDS, RUNS = 2, 125
"""Two hundred and fifty runs that are caught wherever they are."""

SILENCE_S = 1.6
"""Longer than the server believes a silent process of these to live."""


def start(url: str, effects: Path, how: str, names: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "crash.paused", url, str(effects), how, ",".join(names)]
    return subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def effects_of(effects: Path, pid: int) -> list[str]:
    """What a process has done, a line each: its id, the call, the attempt, and when it began."""
    if not effects.exists():
        return []
    return [line for line in effects.read_text().splitlines() if line.startswith(f"{pid} ")]


async def working(effects: Path, process: "subprocess.Popen[str]") -> None:
    """Until this process has had an effect in every run."""
    async with asyncio.timeout(30):
        while len({line.split("_")[0] for line in effects_of(effects, process.pid)}) < RUNS:
            assert process.poll() is None, process.communicate()
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_a_paused_owner_that_wakes_after_a_takeover_begins_no_effect(
    number: int, postgres_url: str, tmp_path: Path
) -> None:
    effects, names = tmp_path / "effects", [f"s{each}" for each in range(RUNS)]
    chance = random.Random(number)
    owner = start(postgres_url, effects, "run", names)
    other: subprocess.Popen[str] | None = None
    try:
        await working(effects, owner)
        await asyncio.sleep(chance.random() / 5)
        os.kill(owner.pid, signal.SIGSTOP)
        await asyncio.sleep(SILENCE_S)
        woken = time.monotonic()
        other = start(postgres_url, effects, "resume", names)
        await working(effects, other)

        os.kill(owner.pid, signal.SIGCONT)
        said, errors = await asyncio.to_thread(owner.communicate, timeout=60)
        # A call that was between its beginning and its effect when the process stopped is still there when it wakes.
        assert max(float(line.split()[3]) for line in effects_of(effects, owner.pid)) < woken
        # Its runs were taken over; those whose commit it was in the middle of were not stored.
        assert len(re.findall(r"^s\d+ (Fenced|Owned|Unavailable): ", said, re.MULTILINE)) == RUNS, said + errors
    finally:
        for process in (owner, other):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()
    attempts = [tuple(line.split()[1:3]) for line in effects.read_text().splitlines()]
    assert len(set(attempts)) == len(attempts), "an attempt was made twice"
