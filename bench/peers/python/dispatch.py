"""Shows where the time of an event goes: from the frame to the handler's first line, and from `emit` to the frame. Prints a table.

    cargo build --profile profiling -p kokanee-python      # an engine with symbols, to be installed beside the package
    python bench/peers/python/dispatch.py                  # about 6 minutes; --kinds def async
    python bench/peers/python/dispatch.py --environments before=/a/bin/python after=/b/bin/python

A handler emits the event back to its sender. Callgrind counts the instructions of two runs of different length, whose difference is that of
the messages, and of a third one in which it counts only within `emit` (`marks.c`). `perf` samples the stacks of a run under load; its
shares are of the lowest CPU time per message of runs without it. A stage begins with a function, and what that calls is part of it,
up to where another stage begins. So the kernel's work is part of the stage that asks for it.

Needs Linux, perf, root, valgrind with its headers, and a C compiler.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

KINDS = ("def", "async", "taken", "client", "async-client")

#: The CPU of what is measured, and that of the other side.
CPU, OTHER_CPU = 0, 1
#: The region of `dispatch_app.py` in which a handler emits.
SENDING = 1
#: Samples per second, and bytes of a stack that a sample keeps.
RATE, STACK = 1999, 16384
#: Connections of runs that are timed, and of those under callgrind.
CONNECTIONS, FEW_CONNECTIONS = 50, 10

#: What begins with no function of the engine: code of Python, and what the engine's threads do between events.
INTERPRETER, SCHEDULER = "interpreter", "scheduler"
#: The functions, each with its object, that a stage begins with.
STAGES = {
    "read": r"poll_read_priv|^_*(libc_)?recv(from)? ",
    "decode": r"WebSocketIo::decode|driver::Driver::turn |kokanee_client::driver::Io::(poll_connection|round)",
    "queue": r"waitable::Waitable<.*>::(add|push|room|try_push)|handler::Call>::poll_outcome",
    "loop": r" (loop|_asyncio)\.|select_epoll_poll ",
    "take": r"__pymethod_(wait_event|drain|handle_events)__",
    "values": r"queue::to_python|event_to_python|value::(args_to_python|loads_text)",
    INTERPRETER: r"^_PyEval_EvalFrameDefault ",
    "json": r"value::args_of_data",
    "send": r"__pymethod_(send_result|emit)__",
    "encode": r"Driver::take_commands|kokanee_client::(driver::connection::Connection<.*>::send|engine::websocket::Pending)",
    "write": r"WebSocketIo::poll_write|poll_write_priv|^_*(libc_)?send(to|msg)? ",
}

STAGE_OF = {stage: re.compile(pattern) for stage, pattern in STAGES.items()}


@functools.cache
def stage_of(function: str) -> str | None:
    """Returns the stage that begins with a function."""
    for stage, pattern in STAGE_OF.items():
        if pattern.search(function):
            return stage
    return None


#: The cost of each function or stage.
Costs = dict[str, float]


# Processes.


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Waits until something listens on a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"does not listen: {process.args!r}")


@contextlib.contextmanager
def running(command: list[str], cpu: int, port: int | None = None, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a program on one CPU; ends it at the end of the block, if it has not ended by itself."""
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *command],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        if port is not None:
            wait_until_open(port, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


class Bench:
    """Runs the program of one kind in one environment under load."""

    def __init__(self, options: argparse.Namespace, python: str, kind: str, marks: Path) -> None:
        self._options = options
        self._python = python
        self._kind = kind
        self._marks = marks

    def _program(self, port: int) -> list[str]:
        return [self._python, str(HERE / "dispatch_app.py"), self._kind, str(port)]

    def _load(self, port: int, messages: int, connections: int) -> list[str]:
        return [
            *(self._options.bench, "load", f"http://127.0.0.1:{port}", "--warmup=0"),
            *(f"--connections={connections}", "--window=20", f"--messages={messages}"),
        ]

    def run(self, messages: int, connections: int, tool: tuple[str, ...] = (), **environment: str) -> float:
        """Handles so many messages, under a tool if one is given, and returns the CPU time of each in nanoseconds."""
        port = free_port()
        environment = {**environment, "CONNECTIONS": str(connections), "MESSAGES": str(messages)}
        if "client" in self._kind:
            with running([self._options.server], OTHER_CPU, port, PORT=str(port)):
                with running([*tool, *self._program(port)], CPU, None, **environment) as process:
                    assert process.stdout is not None
                    return float(process.stdout.readline() or "nan") / messages
        with running([*tool, *self._program(port)], CPU, port, **environment) as process:
            before = cpu_time(process.pid)
            load = ["taskset", "-c", str(OTHER_CPU), *self._load(port, messages, connections)]
            subprocess.run(load, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
            return 1e9 * (cpu_time(process.pid) - before) / messages

    # Instructions.

    def instructions(self) -> dict[str, float]:
        """Returns the instructions per message of each row of the table."""
        few, many = self._options.few, self._options.many
        short, long = self._callgrind(few), self._callgrind(many)
        if not long.get("take"):
            raise SystemExit(f"the engine of {self._python} has no symbols: build it with --profile profiling")
        found = {stage: (long[stage] - short.get(stage, 0)) / (many - few) for stage in long}
        region = self._callgrind(many, "--collect-atstart=no", REGION=str(SENDING), PYTHONPATH=str(self._marks))
        emit = region.get(INTERPRETER, 0) / many
        return found | {"emit": emit, INTERPRETER: found[INTERPRETER] - emit}

    def _callgrind(self, messages: int, *options: str, **environment: str) -> Costs:
        with tempfile.TemporaryDirectory() as folder:
            tool = ("valgrind", "--tool=callgrind", "--separate-threads=yes", "--compress-strings=no", "--compress-pos=no", *options)
            self.run(messages, FEW_CONNECTIONS, (*tool, f"--callgrind-out-file={folder}/out"), **environment)
            costs: Costs = {}
            for path in Path(folder).glob("out-*"):
                for stage, cost in read_callgrind(path).items():
                    costs[stage] = costs.get(stage, 0) + cost
            return costs

    # Time.

    def shares(self) -> Costs:
        """Returns the share of each stage in the CPU time of a run."""
        with tempfile.TemporaryDirectory() as folder:
            data = f"{folder}/perf.data"
            tool = ("perf", "record", "-q", "-o", data, "-F", str(RATE), "-e", "cpu-clock", "--call-graph", f"dwarf,{STACK}", "--")
            self.run(self._options.messages, CONNECTIONS, tool)
            script = ["perf", "script", "-i", data, "--no-inline", "-F", "ip,sym,dso"]
            text = subprocess.run(script, check=True, capture_output=True, text=True, errors="replace").stdout
        return shares_of(text)


def cpu_time(pid: int) -> float:
    """Returns the CPU time in seconds of the processes that a process has become and started."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(stat.parent.name) == pid or int(fields[1]) == pid:
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


# Reading what the tools have written.


def read_callgrind(path: Path) -> Costs:
    """Returns the cost of each stage in the file of one thread.

    The cost of a function that begins no stage is divided among the stages of its callers, as what each call has cost.
    """
    own: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[tuple[str, str]] = collections.Counter()
    function = callee = its_object = callee_object = ""
    is_call = False
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("ob="):
                its_object = callee_object = line[3:]
            elif line.startswith("cob="):
                callee_object = line[4:]
            elif line.startswith("fn="):
                function = name_of(line[3:], its_object)
            elif line.startswith("cfn="):
                callee = name_of(line[4:], callee_object)
                callee_object = its_object
            elif line.startswith("calls="):
                is_call = True
            elif line[0].isdigit() and " " in line:
                cost = int(line.split()[1])
                if is_call:
                    calls[function, callee] += cost
                    is_call = False
                else:
                    own[function] += cost
    return divided(own, calls)


def name_of(text: str, path: str) -> str:
    """Returns a function's name, without the number of its recursion, and the name of its object."""
    name = re.sub(r"'\d+$", "", text.strip())
    return f"{name} {path.strip().rpartition('/')[2]}"


def divided(own: dict[str, int], calls: collections.Counter[tuple[str, str]]) -> Costs:
    """Divides the costs of functions among stages."""
    callers: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for (caller, callee), cost in calls.items():
        if caller != callee:
            callers[callee].append((caller, cost))
    root = INTERPRETER if any(name.startswith("_PyEval_EvalFrameDefault ") for name in own) else SCHEDULER
    shares = {name: {stage_of(name) or root: 1.0} for name in own}
    # Functions call each other in circles.
    for _ in range(40):
        for name in own:
            costs = callers[name] if stage_of(name) is None else []
            total = sum(cost for _, cost in costs)
            if not total:
                continue
            share: dict[str, float] = collections.defaultdict(float)
            for caller, cost in costs:
                for stage, part in shares.get(caller, {root: 1.0}).items():
                    share[stage] += part * cost / total
            shares[name] = dict(share)
    found: dict[str, float] = collections.defaultdict(float)
    for name, cost in own.items():
        for stage, part in shares[name].items():
            found[stage] += part * cost
    return dict(found)


def shares_of(script: str) -> Costs:
    """Returns the share of each stage in the stacks that `perf script` has printed."""
    found: collections.Counter[str] = collections.Counter()
    for stack in script.split("\n\n"):
        names = [perf_name(line) for line in stack.splitlines() if line.strip()]
        if names:
            found[stage_of_stack(names)] += 1
    total = sum(found.values())
    return {stage: count / total for stage, count in found.items()}


def perf_name(line: str) -> str:
    """Returns the function of a line of `perf script`, as `name_of` does."""
    address_and_name, _, path = line.strip().rpartition(" (")
    return name_of(address_and_name.partition(" ")[2], path.rstrip(")"))


def stage_of_stack(names: list[str]) -> str:
    """Returns the stage of a stack, whose innermost function comes first."""
    stages = filter(None, map(stage_of, names))
    return next(stages, SCHEDULER)


# The table.

#: The stages in their order, the interpreter's twice: before the handler, and within `emit`.
ROWS = {
    "read": "the kernel's `recv`",
    "decode": "frame to packet to event, on the engine's thread",
    "queue": "into the queue; a thread of Python is woken",
    SCHEDULER: "the engine's scheduler, `epoll`",
    "loop": "the event loop, and a task for each event",
    "take": "out of the queue, on a thread of Python",
    "values": "arguments from JSON",
    INTERPRETER: "code of Python up to the handler's first line",
    "emit": "code of Python from `emit` to the engine",
    "json": "arguments to JSON",
    "send": "packet, into the mailbox of the client's task, which is woken",
    "encode": "out of the mailbox into a frame, on the engine's thread",
    "write": "the kernel's `send`",
}
#: The first row of the way out.
WAY_OUT = "emit"


class Result:
    """Has what was measured of one kind in one environment."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.times: list[float] = []
        self.instructions = bench.instructions()
        self._shares = bench.shares()

    @property
    def nanoseconds(self) -> dict[str, float]:
        """The CPU time per message of each row: of the lowest time that was measured."""
        time = min(self.times)
        found = {stage: share * time for stage, share in self._shares.items()}
        # A sample does not say where the interpreter is: as its instructions.
        python = found.pop(INTERPRETER, 0.0)
        both = {row: self.instructions.get(row, 0.0) for row in (INTERPRETER, "emit")}
        return found | {row: python * count / sum(both.values()) for row, count in both.items()}


def table(results: dict[str, Result]) -> str:
    """Returns the table of an environment."""
    rows = list(ROWS)
    cut = rows.index(WAY_OUT)
    lines = [["", *(f"`{kind}`" for kind in results)], ["---", *("---:" for _ in results)]]
    for part, title in ((rows[:cut], "**frame to handler**"), (rows[cut:], "**`emit` to frame**"), (rows, "**both**")):
        for row in part if len(part) < len(rows) else ():
            lines.append([ROWS[row], *(cell(result, [row]) for result in results.values())])
        lines.append([title, *(f"**{cell(result, part)}**" for result in results.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(result: Result, rows: list[str]) -> str:
    """Returns the instructions and nanoseconds of rows."""
    instructions = sum(result.instructions.get(row, 0) for row in rows)
    nanoseconds = sum(result.nanoseconds.get(row, 0) for row in rows)
    return f"{instructions:,.0f} · {nanoseconds:,.0f}" if nanoseconds >= 1 or instructions >= 1 else "–"


def measure(options: argparse.Namespace, marks: Path) -> None:
    """Measures all kinds in all environments, and prints a table for each environment."""
    environments = dict(each.split("=", 1) for each in options.environments) or {"": sys.executable}
    results: dict[str, dict[str, Result]] = {name: {} for name in environments}
    for kind in options.kinds:
        for name, python in environments.items():
            results[name][kind] = Result(Bench(options, python, kind, marks))
        for _ in range(options.rounds):
            for name in environments:
                result = results[name][kind]
                result.times.append(result.bench.run(options.messages, CONNECTIONS))
        for name in environments:
            result = results[name][kind]
            times = " ".join(f"{time:,.0f}" for time in sorted(result.times))
            print(f"{name} {kind}: {sum(result.instructions.values()):,.0f} instructions; ns of the runs: {times}", flush=True)
    for name, kinds in results.items():
        print(f"\n{name}\n\n{table(kinds)}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--environments", nargs="*", default=[], metavar="NAME=PYTHON", help="interpreters with a package each, which take turns"
    )
    parser.add_argument("--bench", default=str(ROOT / "target/release/kokanee-bench"))
    parser.add_argument("--server", default=str(ROOT / "target/release/kokanee-bench-server"))
    parser.add_argument("--few", type=int, default=1000, help="messages of the short run under callgrind")
    parser.add_argument("--many", type=int, default=6000, help="messages of the long run under callgrind")
    parser.add_argument("--messages", type=int, default=200_000, help="messages of the runs that are timed")
    parser.add_argument("--rounds", type=int, default=5, help="runs that are timed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/marks.so"
        include = sysconfig.get_path("include")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", f"-I{include}", "-o", library, str(HERE / "marks.c")], check=True)
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
