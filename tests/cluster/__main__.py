"""`make chaos SEED=7 MINUTES=10`: three nodes, three NATS servers and PostgreSQL under load, and a storm over them.

Exit code 0 only if nothing was lost, done twice, or left open. What the nodes said is in a directory that is named.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from .disturbances import script
from .storm import storm

CALM_S = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same to the same parts")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--per-second", type=float, default=4.0, help="signals")
    parser.add_argument("--without", action="append", default=[], help="leave out what begins so: 'pause node'")
    asked = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("chaos").setLevel(logging.INFO)
    without = tuple(asked.without)
    seconds = 60 * asked.minutes
    left = [act for act in script(asked.seed, seconds) if not f"{act.what} {act.whom[0]}".startswith(without)]
    directory = Path(tempfile.mkdtemp(prefix="treadle-chaos-"))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes; everything is in {directory}")
    outcome = asyncio.run(
        storm(directory, left, seconds=seconds, per_second=asked.per_second, calm_s=CALM_S, seed=asked.seed)
    )
    print(*outcome.lines(), sep="\n")
    if outcome.broken:
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
