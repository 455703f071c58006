"""One measured program: a child process that plays a round when asked and is idle otherwise."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from harness.case import Case, Contender

ANSWER_BYTES = 16 * 1024 * 1024
STOP_S = 10.0


class ProgramFailed(Exception):
    """The program ended, was silent past its deadline, or answered something else; the message says which."""


class Program:
    """A started program.

    `ready` waits for set-up and warm-up, `play` for one round. Both raise `ProgramFailed`, and then the program is of
    no more use.
    """

    def __init__(self, process: Process, errors: IO[bytes], unit: str, deadline_s: float) -> None:
        self._process = process
        self._errors = errors
        self._unit = unit
        self._deadline_s = deadline_s

    async def ready(self) -> None:
        if not (answer := await self._answer()).get("ready"):
            raise ProgramFailed(f"expected the program to say ready, got {answer!r}")

    async def play(self) -> float:
        """The median of one round's samples, in the unit of the case."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise ProgramFailed(await self._last_words()) from None
        answer = await self._answer()
        values: list[float] = answer.get("values", [])
        if not values:
            raise ProgramFailed(f"expected a round's values, got {answer!r}")
        return statistics.median(values)

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._deadline_s):
                line = await self._process.stdout.readline()
                if not line:
                    raise ProgramFailed(await self._last_words())
        except TimeoutError:
            raise ProgramFailed(f"no answer within {self._deadline_s:.0f} s") from None
        answer: dict[str, Any] = json.loads(line)
        if answer["unit"] != self._unit:
            raise ProgramFailed(f"measures in {answer['unit']!r}, the case in {self._unit!r}")
        return answer

    async def _last_words(self) -> str:
        """The last line on standard error: for a Python program that failed, the exception."""
        code = await self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1].strip() if lines else 'no message'} (exit code {code})"


@asynccontextmanager
async def started(
    contender: Contender, case: Case, *, python: Path, scratch: Path, environment: dict[str, str], deadline_s: float
) -> AsyncGenerator[Program]:
    """Run a contender's program in a fresh directory below `scratch`; it never outlives the block."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory, tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            python,
            contender.program,
            case.name,
            *contender.arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            cwd=directory,
            env={**os.environ, **environment},
            limit=ANSWER_BYTES,
        )
        try:
            yield Program(process, errors, case.unit, deadline_s)
        finally:
            await _stop(process)


async def _stop(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()  # the end of its input asks the program to close what it opened and leave
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
