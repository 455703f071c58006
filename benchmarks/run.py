"""Measure Treadle against its peers on this machine, and hold the ratios against the design's aims.

    python benchmarks/run.py                         every case, five rounds
    python benchmarks/run.py --case echo_turn --quick
    python benchmarks/run.py --json results.json

It judges but never asserts: the exit code is 0 whatever the numbers say. README.md tells what is measured, and how
fairly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.broker import BrokerUnavailable
from harness.case import Case, without_large
from harness.catalogue import CASES, HERE, PEERS
from harness.database import DatabaseUnavailable
from harness.machine import this_machine
from harness.peers import PeersUnavailable, peers_python
from harness.report import as_json, table
from harness.rounds import CaseResult, Outcome, Setting, run_case
from harness.servers import Servers
from rich.console import Console

DEADLINE_S = 300.0


def main() -> None:
    options = parsed()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    scratch_root = HERE / "results"  # in the checkout, not in the system's temporary directory: that may be memory
    scratch_root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root) as name, console.status("installing the peers") as status:
        scratch = Path(name)
        try:
            peer_python = peers_python(HERE.parent / ".venv-bench", PEERS / "requirements.txt")
        except PeersUnavailable as failure:
            # The peers then fail one by one, each with its error line; Treadle's own numbers are still worth having.
            console.print(f"[yellow]the peers could not be installed: {failure}[/]")
            peer_python = Path(sys.executable)
        machine = this_machine(scratch)
        console.print(str(machine), highlight=False)
        setting = Setting(
            python=Path(sys.executable),
            peer_python=peer_python,
            scratch=scratch,
            environment={"PYTHONPATH": str(HERE), **({"BENCH_QUICK": "1"} if options.quick else {})},
            deadline_s=DEADLINE_S,
            progress=status.update,
        )
        rounds = options.rounds or (3 if options.quick else 5)
        cases = [case if options.large else without_large(case) for case in CASES if case.name in options.case]
        results = asyncio.run(measured(cases, rounds, setting, console))
    if options.json:
        options.json.write_text(json.dumps(as_json(machine, results), indent=2) + "\n")


async def measured(cases: Sequence[Case], rounds: int, setting: Setting, console: Console) -> list[CaseResult]:
    """All these cases, each with the servers beside it that it needs."""
    results: list[CaseResult] = []
    async with Servers(setting.scratch) as servers:
        for case in cases:
            try:
                setting.environment.update(await servers.environment(case))
            except (BrokerUnavailable, DatabaseUnavailable) as failure:
                outcomes = tuple(Outcome(contender, error=str(failure)) for contender in case.contenders)
                result = CaseResult(case, outcomes)
            else:
                result = await run_case(case, rounds, setting)
            console.print(table(result))
            results.append(result)
    return results


def parsed() -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description="Measure Treadle against its peers.")
    parser.add_argument("--case", action="append", choices=names, help="only this case; may be given several times")
    parser.add_argument("--rounds", type=int, help="rounds per contender, 5 unless told otherwise")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work per round, 3 rounds: a look, no result"
    )
    parser.add_argument("--large", action="store_true", help="the large sizes too: minutes for each")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers to this file too")
    options = parser.parse_args()
    options.case = options.case or names
    return options


if __name__ == "__main__":
    main()
