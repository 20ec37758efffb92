"""What the package costs before it serves anything: `sizes.py WHEEL` prints the size of the wheel and times of imports."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROUNDS = 15
IMPORTS = {
    "kokanee": "import kokanee",
    "kokanee, Server": "import kokanee; kokanee.Server; kokanee.WSGIApp",
    "kokanee, AsyncServer": "import kokanee; kokanee.AsyncServer; kokanee.ASGIApp",
    "socketio": "import socketio",
    "asyncio": "import asyncio",
}


def cpu_of(program: str) -> float:
    """Returns the CPU time in seconds of an interpreter that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def traced(program: str, module: str) -> float:
    """Returns how long the import of a module took, in seconds, as `python -X importtime` says."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        capture_output=True,
        check=True,
        text=True,
    )
    lines = (line.split("|") for line in done.stderr.splitlines())
    return next(int(times[1]) / 1e6 for times in lines if times[-1].strip() == module)


def main(wheel: str) -> None:
    """Prints all figures."""
    print(f"wheel: {Path(wheel).stat().st_size / 1e6:.2f} MB")
    names = ("kokanee", "socketio")
    for name in names:
        best = min(traced(f"import {name}", name) for _ in range(ROUNDS))
        print(f"python -X importtime -c 'import {name}': {best * 1e3:.0f} ms")
    least: dict[str, list[float]] = {name: [] for name in ["", *IMPORTS]}
    for _ in range(ROUNDS):
        for name, times in least.items():
            times.append(cpu_of(IMPORTS.get(name, "pass")))
    for name in IMPORTS:
        print(f"CPU of an import: {(min(least[name]) - min(least[''])) * 1e3:5.1f} ms  {name}")


if __name__ == "__main__":
    main(sys.argv[1])
