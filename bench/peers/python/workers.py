"""Many workers: `workers.py LOAD` prints their throughput beside that of one, and what a request at the wrong worker costs more.

`LOAD` is the path of `kokanee-bench`; without it, only the second is measured. The host is the package's own. Runs with one worker and
with four take turns, on all CPUs, and so do requests at the right and at the wrong worker, with both workers on the first CPU and the
client on the second. With a compiler of C, so does a bare pair of processes, `workers_floor.c`, which hands connections over in the same
way and does nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
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
#: Blocks of requests, and connections to each worker in a block. Other programs disturb a small block less often.
BLOCKS = 100
CONNECTIONS = 12
#: How long a session is used, in seconds. One that is not polled ends.
SESSION = 10.0
#: How long a host may take to start, in seconds.
START = 30.0


def unchecked() -> ssl.SSLContext:
    """Returns the settings of a client that trusts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


TLS = unchecked()


@contextlib.contextmanager
def running(command: list[str], port: int, workers: int, tls: bool = False) -> Iterator[int]:
    """Runs a host, and returns its port as soon as all its workers answer."""
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL)
    try:
        # The last worker may start later than the first.
        deadline = time.monotonic() + START
        seen: set[bytes] = set()
        while len(seen) < workers:
            if time.monotonic() > deadline:
                raise TimeoutError("the host does not start")
            with contextlib.suppress(OSError, http.client.HTTPException):
                seen.add(Connection(port, tls).worker)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START)


@contextlib.contextmanager
def host(workers: int, *prefix: str, options: tuple[str, ...] = ()) -> Iterator[int]:
    """Runs the host by a command that may have a prefix, and returns its port."""
    port = free_port()
    usual = [f"--port={port}", f"--workers={workers}"]
    command = [*prefix, sys.executable, "-m", "kokanee", "serve", *usual, *options, "workers_app:app"]
    with running(command, port, workers, bool(options)):
        yield port


class Connection:
    """Is a connection that stays open, and so with one worker."""

    def __init__(self, port: int, tls: bool = False, headers: dict[str, str] | None = None) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=START)
        self._http.connect()
        if tls:
            self._http.sock = TLS.wrap_socket(self._http.sock)
        self._headers = headers or {}
        self.worker = self.request("GET", "/")

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Makes a request and returns the body of its response."""
        headers = {"Content-Type": "text/plain"} if body else {}
        self._http.request(method, path, body, headers | self._headers)
        response = self._http.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {text!r}")
        return text


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


class Case:
    """Measures what a POST costs at the worker that has the session, and at another one: the first of a connection, and later ones."""

    def __init__(self, name: str, port: int, tls: bool = False, headers: dict[str, str] | None = None) -> None:
        self._name, self._port, self._tls, self._headers = name, port, tls, headers
        self._costs: dict[tuple[str, bool], list[float]] = {}
        self._end = 0.0

    def _connect(self) -> Connection:
        return Connection(self._port, self._tls, self._headers)

    def _open(self) -> None:
        self._right = self._connect()
        opened = self._right.request("GET", "/socket.io/?EIO=4&transport=polling")
        self._path = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
        self._right.request("POST", self._path, b"40")
        self._end = time.monotonic() + SESSION

    def measure(self) -> None:
        """Measures a block of requests at each worker."""
        if time.monotonic() > self._end:
            self._open()
        fresh: dict[bool, list[Connection]] = {True: [], False: []}
        while min(map(len, fresh.values())) < CONNECTIONS:
            connection = self._connect()
            fresh[connection.worker == self._right.worker].append(connection)
        workers = [fresh[is_right][0].worker for is_right in (True, False)]
        for is_right, connections in fresh.items():
            del connections[CONNECTIONS:]
            for which in ("first POST of a connection", "later one"):
                before = cpu_of(workers)
                for connection in connections:
                    # An event that nobody handles; nothing answers it.
                    connection.request("POST", self._path, b'42["nothing"]')
                spent = (cpu_of(workers) - before) / CONNECTIONS * 1e6
                self._costs.setdefault((which, is_right), []).append(spent)

    def report(self) -> None:
        """Prints the costs."""
        for which, is_right in self._costs:
            if is_right:
                pairs = [sorted(self._costs[which, it]) for it in (True, False)]
                texts = []
                for name, at in (("minimum", 0), ("20th of 100", BLOCKS // 5), ("median", BLOCKS // 2)):
                    here, there = (costs[at] for costs in pairs)
                    texts.append(f"{name} {here:.0f} to {there:.0f} ({there - here:+.0f})")
                print(f"{self._name}, {which}: {', '.join(texts)} µs")


def wrong_worker() -> None:
    """Prints what requests cost at the right worker and at the wrong one. The kinds of connections take turns."""
    os.sched_setaffinity(0, {1})
    pinned = ("taskset", "--cpu-list", "0")
    with contextlib.ExitStack() as hosts:
        cases: list[Case] = []
        if compiler := shutil.which("cc"):
            folder = hosts.enter_context(tempfile.TemporaryDirectory())
            subprocess.run([compiler, "-O2", "-o", f"{folder}/floor", HERE / "workers_floor.c"], check=True)
            port = free_port()
            hosts.enter_context(running([*pinned, f"{folder}/floor", str(port)], port, 2))
            cases.append(Case("a bare pair of processes", port))
        port = hosts.enter_context(host(2, *pinned))
        cases.append(Case("plain", port))
        # Only the application can decide about this page, so that each request passes through it.
        page = {"Origin": f"http://127.0.0.1:{port}", "X-Forwarded-Proto": "http"}
        cases.append(Case("plain, through the application", port, headers=page))
        options = hosts.enter_context(certificate())
        cases.append(Case("encrypted", hosts.enter_context(host(2, *pinned, options=options)), tls=True))
        for _ in range(BLOCKS):
            for case in cases:
                case.measure()
        for case in cases:
            case.report()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compare(sys.argv[1])
    wrong_worker()
