"""``python -m tests.chaos``: one chaos run, from a seed that is printed."""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.chaos.plan import make_plan
from tests.chaos.runner import Chaos


def main() -> int:
    """Run it; 0 when everything held, 1 when not, 2 when it cannot be run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="replays the plan of this seed")
    parser.add_argument("--seconds", type=float, default=60, help="how long to disturb the workers (60)")
    parser.add_argument("--workers", type=int, default=4, help="how many workers (4)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite", help="of which kind (sqlite)")
    asked = parser.parse_args()
    plan = make_plan(asked.seed, asked.seconds, asked.workers, asked.database)
    folder = Path(tempfile.mkdtemp(prefix="clworker-chaos-"))
    print(f"{plan.command}\nlogs and database are in {folder}", flush=True)
    try:
        report = Chaos(plan, folder).run()
    except pytest.skip.Exception as missing:
        print(f"Error: {missing}", file=sys.stderr)
        return 2
    print(report)
    if report.faults:
        print(f"FAILED; the plan and all logs stay in {folder}; again with:\n{plan.command}")
        return 1
    shutil.rmtree(folder)
    print("everything held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
