"""`python -m examples.oncall`: the demonstration. Exit code 0 when everything held that it promises, else 1."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from . import report, tables
from .children import DidNotHold
from .claims import judge
from .demo import Demo, free_ports
from .evidence import gather, verify_audit
from .place import Place


def main() -> int:
    console = Console()
    started = time.monotonic()
    place = Place(Path(tempfile.mkdtemp(prefix="treadle-oncall-")), *free_ports())
    console.print(f"An on-call desk for this machine, in {place.directory}\n", soft_wrap=True, highlight=False)
    demo = Demo(place, console)
    try:
        demo.run()
    except DidNotHold as exc:
        console.print(f"\n[bold red]✗[/] {exc}", soft_wrap=True, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print(f"\nInterrupted; what there is is in {place.directory}", soft_wrap=True, highlight=False)
        return 130
    evidence = asyncio.run(gather(place, demo.kills, demo.codes, time.monotonic() - started))
    audit = verify_audit(place)
    tables.show(console, evidence, audit.stdout + audit.stderr)
    judged = judge(evidence, audit.returncode)
    console.print(tables.claims(judged))
    console.print(tables.counts(evidence))
    report.write(console, place, report.night(evidence, judged))
    tables.further(console, evidence)
    return 0 if all(claim.held for claim in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
