"""``python -m benchmarks``: measure, print one table, write one JSON file and one picture."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import chart, machine, report
from benchmarks.context import Context
from benchmarks.plan import FULL, QUICK
from benchmarks.results import NotMeasured, Result
from benchmarks.sections import SECTIONS, queue
from benchmarks.servers import Servers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections that are asked for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [section for section in options.sections if section not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    signal.signal(signal.SIGTERM, _stop)  # so that workers and servers are ended whichever way this ends
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="clworker-bench-", dir=options.folder) as name:
        folder = Path(name)
        facts = machine.facts(folder)
        print(report.facts_text(facts), end="\n\n", flush=True)
        begun = time.monotonic()
        with Servers(folder) as servers:
            for section in options.sections or SECTIONS:
                context = Context(QUICK if options.quick else FULL, folder / section, servers, partial(_say, section))
                try:
                    results += SECTIONS[section](context)
                except NotMeasured as failure:
                    results.append(Result(section, "-", "-", "", [], note=str(failure)))
    facts |= {"load average at the end": machine.load(), "duration": f"{time.monotonic() - begun:.0f} s"}
    print(report.table(results), end="\n\n")
    print(f"load average at the end: {facts['load average at the end']}; it took {facts['duration']}")
    _write(options.output, facts, results)
    return 0


def _write(folder: Path, facts: dict[str, str], results: Sequence[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report.write_json(folder / "results.json", facts, results)
    (folder / "results.txt").write_text(f"{report.facts_text(facts)}\n\n{report.table(results)}\n")
    rates = [result for result in results if result.section == queue.NAME]
    if rates:
        chart.write(folder / "results.svg", facts, rates)
    print(f"the table, every sample, and the picture of the section 'queue': {folder}")


def _stop(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _say(section: str, text: str) -> None:
    print(f"{section}: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a look of about four minutes instead of twenty")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("bench-results"),
        help="folder for results.txt, results.json and results.svg",
    )
    # Not /tmp: where that is in memory, a commit costs nothing and no figure is true.
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where databases are made (/var/tmp)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
