"""The share of recorded answers of a real kube-apiserver that ours gives too may only grow: `python -m tests.transcripts.ratchet DIR [--update]`.

DIR holds `transcripts.py` and `corpus/` (not part of this repository). Starts an API server of its own, runs the comparison, and fails when an
area has fewer identical steps than `steps.json` says. `--update` writes the figures that were reached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FIGURES = Path(__file__).with_name("steps.json")
TOKENS = 'tok,admin,uid-admin,"system:masters"\nalicetok,alice,uid-alice\nbobtok,bob,uid-bob,"devs"\n'


def minictl(home: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("minictl")), *arguments]
    return subprocess.run(
        command, env={**os.environ, "MINIKUBE_PY_HOME": home}, check=True, capture_output=True, text=True
    ).stdout


def compare(directory: Path, jobs: int) -> dict[str, list[int]]:
    """(identical steps, steps, identical cases, cases) by area and for `total`, of a comparison with a fresh server."""
    with tempfile.TemporaryDirectory() as scratch:
        tokens, report = Path(scratch, "tokens.csv"), Path(scratch, "report.json")
        tokens.write_text(TOKENS)
        minictl(scratch, "up", "--components", "apiserver", "--listen", "127.0.0.1:0", "--token-auth-file", str(tokens))
        try:
            url = json.loads(minictl(scratch, "status", "-o", "json"))[0]["url"]
            command = [sys.executable, str(directory / "transcripts.py"), "compare", url, str(directory / "corpus")]
            command += ["--json", str(report), "--show", "0", "--jobs", str(jobs)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1200, cwd=scratch)
            if not report.exists():
                raise SystemExit(f"the comparison did not run to its end:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            return json.loads(report.read_text())["areas"]
        finally:
            minictl(scratch, "down", "--purge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--jobs", type=int, default=6)
    arguments = parser.parse_args()
    areas = compare(arguments.directory.resolve(), arguments.jobs)
    same, steps, *_ = areas.pop("total")
    reached = {area: figures[0] for area, figures in sorted(areas.items())}
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    lost = {area: (reached.get(area, 0), before) for area, before in known.items() if reached.get(area, 0) < before}
    print(f"identical steps: {same} of {steps} ({100 * same / steps:.1f} %)")
    for area, (now, before) in lost.items():
        print(f"{area}: {now} steps are identical, {before} were", file=sys.stderr)
    if arguments.update:
        FIGURES.write_text(json.dumps(reached, indent=1) + "\n")
    elif lost:
        sys.exit(1)


if __name__ == "__main__":
    main()
