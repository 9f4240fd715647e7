"""Runs every benchmark in turn and writes benchmarks/results/NAME.json. Exit code 1 when a need is not met.

`python -m benchmarks.run fanout --peers` compares with other people's servers as well, which are fetched for that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.compare import peers
from tidewire.bench import fanout
from tidewire.cli.bench import BENCHMARKS

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what is named on the command line, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; without a name, everything")
    parser.add_argument("--peers", action="store_true", help="compare the fan-out with other servers, too")
    parser.add_argument("--quick", action="store_true", help="the short form, which writes no results")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"expected names out of {', '.join(BENCHMARKS)}, got {', '.join(sorted(unknown))}")
    failed = []
    for name in arguments.names or BENCHMARKS:
        with_peers = arguments.peers and name == "fanout"
        text = _with_peers(quick=arguments.quick) if with_peers else _alone(name, quick=arguments.quick)
        report = json.loads(text)
        if arguments.quick:
            print(text)  # noqa: T201 - this is a command
        else:
            (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
        sys.stderr.write(f"{name}: {'met' if report['ok'] else 'NOT MET'}\n")
        if not report["ok"]:
            failed.append(name)
    return 1 if failed else 0


def _alone(name: str, *, quick: bool) -> str:
    command = [
        str(Path(sys.executable).with_name("tidewire")),
        "bench",
        name,
        "--json",
        *(["--quick"] if quick else []),
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not result.stdout:
        sys.exit(result.returncode)
    return result.stdout


def _with_peers(*, quick: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="tidewire-peers-") as folder:
        Path(folder).chmod(0o755)  # servers that were started as root give it up
        report = fanout.run(quick=quick, peers=peers(Path(folder)))
    return msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main())
