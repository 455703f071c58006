"""Two processes want one run: one has it, and the other does nothing but say so."""

import os
import signal
from pathlib import Path

import pytest
from crash.afterwards import afterwards, read
from crash.children import Children, Life
from crash.ledger import Ledger
from crash.programs import JOURNAL, LEDGER

ROUNDS = 30


async def test_of_two_processes_that_resume_at_once_one_goes_on_and_the_other_says_why_not(
    children: Children, tmp_path: Path
) -> None:
    refusals: list[str] = []
    for number in range(ROUNDS):
        (directory := tmp_path / str(number)).mkdir()
        assert children.die(Life(program="plain", directory=str(directory), kill="before effect of post 1"))
        both = [
            Life(program="plain", directory=str(directory), name=name, resume=True, barrier="door", together=2)
            for name in ("one", "two")
        ]
        pids = [children.start(life) for life in both]
        reports = [children.report(life, children.wait(pid)) for life, pid in zip(both, pids, strict=True)]

        answers = [report.answers for report in reports if not report.refused]
        assert answers
        assert all(answer == answers[0] for answer in answers)
        refusals += [report.refused for report in reports if report.refused]
        effects = Ledger(directory / LEDGER).effects()
        assert [effect.attempt for effect in effects] == [2, 1]
        assert len({effect.pid for effect in effects}) == 1
        await afterwards(directory)
    # Some come so late that all is done and they are simply told the answer; most meet the owner at work.
    assert len(refusals) > ROUNDS // 3
    assert all(refusal.startswith(("Owned: ", "Fenced: ")) for refusal in refusals)
    assert all("run-" in refusal for refusal in refusals)


@pytest.mark.parametrize("program", ["plain", "destructive"])
async def test_an_owner_that_was_taken_over_while_it_slept_has_no_effect_when_it_wakes(
    program: str, children: Children, tmp_path: Path
) -> None:
    (whole := tmp_path / "whole").mkdir()
    places = children.live(Life(program=program, directory=str(whole))).places
    story = await afterwards(whole)
    fenced = 0
    for place in [place for place in places if place.startswith("before event")]:
        (directory := tmp_path / place.replace(" ", "-")).mkdir()
        sleeper = Life(program=program, directory=str(directory), stop=place)
        pid = children.start(sleeper)
        assert os.WIFSTOPPED(children.wait(pid))
        if not (directory / JOURNAL).exists() or not any(
            event.type == "run.started" for event in await read(directory)
        ):
            # It owns nothing yet: its prompt would be one more prompt, and run after the other's.
            os.kill(pid, signal.SIGCONT)
            children.report(sleeper, children.wait(pid))
            continue
        ledger = Ledger(directory / LEDGER)
        before = ledger.effects()
        # A stopped process holds its lock and counts as alive. Without its entry it is as good as dead.
        for entry in (directory / f"{JOURNAL}.owners").glob(f"*:{pid}:*"):
            entry.unlink()

        answers = children.live(Life(program=program, directory=str(directory), name="2", resume=True)).answers
        taken_over = ledger.effects()
        os.kill(pid, signal.SIGCONT)
        woken = children.report(sleeper, children.wait(pid))

        assert ledger.effects() == taken_over, place
        assert taken_over[: len(before)] == before
        assert woken.refused.startswith("Fenced: ") or woken.answers == answers, place
        fenced += bool(woken.refused)
        await afterwards(directory, story)
    assert fenced > 2
