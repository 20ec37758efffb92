"""Many workers: `workers.py LOAD` prints their throughput beside that of one, and what a request at the wrong worker costs more.

`LOAD` is the path of `kokanee-bench`; without it, only the second is measured. The host is the package's own. Runs with one worker and with four take turns, on all CPUs, and so
do requests at the right and at the wrong worker, with both workers on the first CPU and the client on the second.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from start import free_port

HERE = Path(__file__).parent
ROUNDS = 5
SECONDS = "3"
WORKERS = 4
#: Blocks of requests, and connections to each worker in a block.
BLOCKS = 15
CONNECTIONS = 60
#: How long a host may take to start, in seconds.
START = 30.0


@contextlib.contextmanager
def host(workers: int, *prefix: str, options: tuple[str, ...] = ()) -> Iterator[int]:
    """Runs the host by a command that may have a prefix, and returns its port."""
    port = free_port()
    usual = [f"--port={port}", f"--workers={workers}"]
    command = [*prefix, sys.executable, "-m", "kokanee", "serve", *usual, *options, "workers_app:app"]
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL)
    try:
        # The last worker may start later than the first.
        deadline = time.monotonic() + START
        seen: set[bytes] = set()
        while len(seen) < workers:
            if time.monotonic() > deadline:
                raise TimeoutError("the host does not start")
            with contextlib.suppress(OSError, http.client.HTTPException):
                seen.add(Connection(port, bool(options)).worker)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START)


class Connection:
    """Is a connection that stays open, and so with one worker."""

    def __init__(self, port: int, tls: bool = False) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=START)
        self._http.connect()
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._http.sock = context.wrap_socket(self._http.sock)
        self.worker = self.request("GET", "/")

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Makes a request and returns the body of its response."""
        self._http.request(method, path, body, {"Content-Type": "text/plain"} if body else {})
        response = self._http.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {text!r}")
        return text

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()


@contextlib.contextmanager
def certificate() -> Iterator[tuple[str, str]]:
    """Makes a certificate, and returns the options for it."""
    with tempfile.TemporaryDirectory() as folder:
        key, chain = f"{folder}/key.pem", f"{folder}/chain.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
        yield f"--certfile={chain}", f"--keyfile={key}"


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


def wrong_worker(*options: str, tls: bool = False) -> None:
    """Prints what a POST costs at the worker that has the session, and at another one: the first of a connection, and later ones."""
    os.sched_setaffinity(0, {1})
    costs: dict[tuple[str, bool], list[float]] = {}
    with host(2, "taskset", "--cpu-list", "0", options=options) as port:
        for _ in range(BLOCKS):
            # A session that is not polled ends.
            right = Connection(port, tls)
            opened = right.request("GET", "/socket.io/?EIO=4&transport=polling")
            path = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
            right.request("POST", path, b"40")
            fresh: dict[bool, list[Connection]] = {True: [], False: []}
            while min(map(len, fresh.values())) < CONNECTIONS:
                connection = Connection(port, tls)
                fresh[connection.worker == right.worker].append(connection)
            workers = [fresh[is_right][0].worker for is_right in (True, False)]
            for is_right, connections in fresh.items():
                del connections[CONNECTIONS:]
                for which, rounds in (("first POST of a connection", 1), ("later ones", ROUNDS)):
                    before = cpu_of(workers)
                    for _ in range(rounds):
                        for connection in connections:
                            # An event that nobody handles; nothing answers it.
                            connection.request("POST", path, b'42["nothing"]')
                    spent = (cpu_of(workers) - before) / rounds / CONNECTIONS * 1e6
                    costs.setdefault((which, is_right), []).append(spent)
    for which, is_right in costs:
        if is_right:
            for name, value in (("minimum", min), ("median", statistics.median)):
                here, there = value(costs[which, True]), value(costs[which, False])
                print(f"{which}, {name}: {here:.0f} µs at the right worker, {there:.0f} at the wrong one, {there - here:+.0f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compare(sys.argv[1])
    print("connections that move to the owner:")
    wrong_worker()
    print("encrypted connections, which stay:")
    with certificate() as options:
        wrong_worker(*options, tls=True)
