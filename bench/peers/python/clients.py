"""Compares clients for Python: CPU per echo, and what an idle connection costs. Prints a table.

    python bench/peers/python/clients.py --server target/release/kokanee-bench-server

The server runs on the first CPU, the clients on the second, each kind in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from typing import Any

KINDS = ("kokanee:Client", "socketio:Client", "kokanee:AsyncClient", "socketio:AsyncClient")
DATA = "x" * 64
SERVER_CPU, CLIENT_CPU = 0, 1


class Echoes:
    """Counts echoes, and the CPU that they cost, from a moment on."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None:
        """Begins to count."""
        self._count, self._cpu, self._time = self.count, time.process_time(), time.monotonic()

    def result(self) -> dict[str, float]:
        """Returns what was counted."""
        count, cpu = self.count - self._count, time.process_time() - self._cpu
        return {"echoes": count, "us": 1e6 * cpu / max(count, 1), "rate": count / (time.monotonic() - self._time)}


def run_sync(package: Any, options: argparse.Namespace) -> dict[str, float]:
    """Echoes with `Client`s."""
    echoes = Echoes()
    clients = []
    for _ in range(options.connections):
        sio = package.Client()

        def echo(data: Any, sio: Any = sio) -> None:
            echoes.count += 1
            sio.emit("echo", data)

        sio.on("echo", echo)
        sio.connect(options.url, transports=["websocket"])
        clients.append(sio)
    for sio in clients:
        for _ in range(options.in_flight):
            sio.emit("echo", DATA)
    time.sleep(options.seconds / 4)
    echoes.start()
    time.sleep(options.seconds)
    return echoes.result()


async def run_async(package: Any, options: argparse.Namespace) -> dict[str, float]:
    """Echoes with `AsyncClient`s."""
    echoes = Echoes()
    clients = []
    for _ in range(options.connections):
        sio = package.AsyncClient()

        async def echo(data: Any, sio: Any = sio) -> None:
            echoes.count += 1
            await sio.emit("echo", data)

        sio.on("echo", echo)
        await sio.connect(options.url, transports=["websocket"])
        clients.append(sio)
    for sio in clients:
        for _ in range(options.in_flight):
            await sio.emit("echo", DATA)
    await asyncio.sleep(options.seconds / 4)
    echoes.start()
    await asyncio.sleep(options.seconds)
    return echoes.result()


def resident() -> int:
    """Returns the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def threads() -> int:
    """Returns how many threads this process has, whatever made them."""
    return len(os.listdir("/proc/self/task"))


def idle_result(before: tuple[int, int], count: int) -> dict[str, float]:
    """Returns what each idle connection costs."""
    return {"bytes": (resident() - before[0]) / count, "threads": threads() - before[1]}


def idle_sync(package: Any, options: argparse.Namespace) -> dict[str, float]:
    """Keeps idle `Client`s."""
    first = package.Client()
    first.connect(options.url, transports=["websocket"])
    before, clients = (resident(), threads()), []
    for _ in range(options.idle):
        sio = package.Client()
        sio.on("echo", print)
        sio.connect(options.url, transports=["websocket"], wait_timeout=30)
        clients.append(sio)
    time.sleep(options.seconds)
    assert all(sio.connected for sio in clients)
    return idle_result(before, options.idle)


async def idle_async(package: Any, options: argparse.Namespace) -> dict[str, float]:
    """Keeps idle `AsyncClient`s."""
    first = package.AsyncClient()
    await first.connect(options.url, transports=["websocket"])
    before, clients = (resident(), threads()), []
    for _ in range(options.idle):
        sio = package.AsyncClient()
        sio.on("echo", print)
        await sio.connect(options.url, transports=["websocket"], wait_timeout=30)
        clients.append(sio)
    await asyncio.sleep(options.seconds)
    assert all(sio.connected for sio in clients)
    return idle_result(before, options.idle)


def work(options: argparse.Namespace) -> None:
    """Measures one kind of client in this process, and prints the result as JSON."""
    os.sched_setaffinity(0, {CLIENT_CPU})
    name, kind = options.work.split(":")
    package = importlib.import_module(name)
    is_async = kind == "AsyncClient"
    if is_async:
        asyncio.run(work_async(idle_async if options.idle else run_async, package, options))
    else:
        tell((idle_sync if options.idle else run_sync)(package, options))


async def work_async(run: Any, package: Any, options: argparse.Namespace) -> None:
    """Measures within an event loop."""
    tell(await run(package, options))


def tell(result: dict[str, float]) -> None:
    """Prints a result, and ends the process: the ends of thousands of connections are not measured."""
    print(json.dumps(result), flush=True)
    os._exit(0)


def measure(options: argparse.Namespace, kind: str, idle: int) -> dict[str, float]:
    """Measures one kind of client against a new server."""
    server = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CPU), *options.server.split()],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PORT": "0"},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(":")[-1].split()[-1]
        command = [sys.executable, __file__, "--work", kind, "--url", f"http://127.0.0.1:{port}"]
        command += ["--connections", str(options.connections), "--in-flight", str(options.in_flight)]
        command += ["--seconds", str(options.seconds), "--idle", str(idle)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise SystemExit(f"{kind} failed:\n{done.stdout}{done.stderr}")
        result: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
        return result
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def compare(options: argparse.Namespace) -> None:
    """Measures all kinds in turns, and prints a table."""
    echoes: dict[str, list[dict[str, float]]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind in options.kinds:
            echoes[kind].append(measure(options, kind, 0))
    print("| client | CPU per echo, µs | echoes per second | idle connection, KiB | threads of all of them |")
    print("|---|---|---|---|---|")
    for kind in options.kinds:
        costs = sorted(result["us"] for result in echoes[kind])
        rate = statistics.median(result["rate"] for result in echoes[kind])
        memory, count = "", ""
        if options.idle:
            # Each of python-socketio's has threads of its own, of which a machine has no thousands to give.
            count_of = options.idle if kind.startswith("kokanee") else min(options.idle, 200)
            idle = measure(options, kind, count_of)
            memory, count = f"{idle['bytes'] / 1024:.1f}", f"{idle['threads']:.0f}"
        median = statistics.median(costs)
        print(f"| `{kind}` | {median:.2f} [{costs[0]:.2f}–{costs[-1]:.2f}] | {rate:,.0f} | {memory} | {count} |", flush=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="target/release/kokanee-bench-server")
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--url", default="")
    parser.add_argument("--work", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.work:
        work(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
