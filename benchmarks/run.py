"""Runs every benchmark in turn and writes benchmarks/results/NAME.json. Exit code 1 when a need is not met."""

import json
import subprocess
import sys
from pathlib import Path

from tidewire.cli.bench import BENCHMARKS

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what is named on the command line, or everything."""
    failed = []
    for name in sys.argv[1:] or BENCHMARKS:
        command = [str(Path(sys.executable).with_name("tidewire")), "bench", name, "--json"]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if not result.stdout:
            return result.returncode
        (RESULTS / f"{name}.json").write_text(result.stdout, encoding="utf-8")
        report = json.loads(result.stdout)
        sys.stderr.write(f"{name}: {'met' if report['ok'] else 'NOT MET'}\n")
        if not report["ok"]:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
