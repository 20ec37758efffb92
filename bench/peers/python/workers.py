"""Many workers: `workers.py LOAD` prints their throughput beside that of one, and what a request at the wrong worker costs more.

`LOAD` is the path of `kokanee-bench`. The host is the package's own. Runs with one worker and with four take turns, on all CPUs, and so
do requests at the right and at the wrong worker, with both workers on the first CPU and the client on the second.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from start import free_port

HERE = Path(__file__).parent
ROUNDS = 5
SECONDS = "3"
WORKERS = 4
#: Blocks of requests at each worker, and requests in a block.
BLOCKS = 15
REQUESTS = 300
#: How long a host may take to start, in seconds.
START = 30.0


@contextlib.contextmanager
def host(workers: int, *prefix: str) -> Iterator[int]:
    """Runs the host by a command that may have a prefix, and returns its port."""
    port = free_port()
    options = [f"--port={port}", f"--workers={workers}"]
    command = [*prefix, sys.executable, "-m", "kokanee", "serve", *options, "workers_app:app"]
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL)
    try:
        # The last worker may start later than the first.
        deadline = time.monotonic() + START
        seen: set[bytes] = set()
        while len(seen) < workers:
            if time.monotonic() > deadline:
                raise TimeoutError("the host does not start")
            with contextlib.suppress(OSError, http.client.HTTPException):
                seen.add(Connection(port).worker)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START)


class Connection:
    """Is a connection that stays open, and so with one worker."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=START)
        self.worker = self.request("GET", "/")

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Makes a request and returns the body of its response."""
        self._http.request(method, path, body, {"Content-Type": "text/plain"} if body else {})
        response = self._http.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {text!r}")
        return text


def throughput(load: str, port: int) -> float:
    """Returns the events that are acknowledged in a second."""
    url = f"http://127.0.0.1:{port}"
    options = ["--ack", "--event=work", "--connections=64", "--window=2", f"--time={SECONDS}", "--json"]
    done = subprocess.run([load, "load", url, *options], capture_output=True, check=True)
    return float(json.loads(done.stdout)["rate"])


def compare(load: str) -> None:
    """Prints the throughput of one worker and of many."""
    ratios: list[float] = []
    for _ in range(ROUNDS):
        rates: list[float] = []
        for workers in (1, WORKERS):
            with host(workers) as port:
                rates.append(throughput(load, port))
        ratios.append(rates[1] / rates[0])
        print(f"1 worker: {rates[0]:7,.0f} events a second, {WORKERS}: {rates[1]:7,.0f}, ratio {ratios[-1]:.2f}")
    print(f"ratio: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


def cpu_of(workers: list[bytes]) -> float:
    """Returns the CPU time of all threads of processes so far, in seconds."""
    tasks = (task for worker in workers for task in Path(f"/proc/{worker.decode()}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wrong_worker() -> None:
    """Prints what a POST costs at the worker that has the session, and at another one."""
    os.sched_setaffinity(0, {1})
    with host(2, "taskset", "--cpu-list", "0") as port:
        right = Connection(port)
        wrong = Connection(port)
        while wrong.worker == right.worker:
            wrong = Connection(port)
        workers = [right.worker, wrong.worker]
        opened = right.request("GET", "/socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened[1:])["sid"]
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        right.request("POST", path, b"40")
        costs: dict[Connection, list[float]] = {right: [], wrong: []}
        for _ in range(BLOCKS):
            for connection, spent in costs.items():
                before = cpu_of(workers)
                for _ in range(REQUESTS):
                    # An event that nobody handles; nothing answers it.
                    connection.request("POST", path, b'42["nothing"]')
                spent.append((cpu_of(workers) - before) / REQUESTS * 1e6)
        for name, value in (("minimum", min), ("median", statistics.median)):
            here, there = (value(spent) for spent in costs.values())
            print(f"CPU of a POST, {name}: {here:.0f} µs at the right worker, {there:.0f} at the wrong one, {there - here:+.0f}")


if __name__ == "__main__":
    compare(sys.argv[1])
    wrong_worker()
