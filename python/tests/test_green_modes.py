"""On greenlets, one greenlet handles the events that wait, and another goes on when a handler waits."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
from kokanee import _engine, _modes

greenlet = pytest.importorskip("greenlet")
pytest.importorskip("eventlet")
pytest.importorskip("gevent")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


@pytest.mark.parametrize("kind", [_modes.Eventlet, _modes.Gevent])
def test_events_are_handled_while_handlers_wait(kind: Any) -> None:
    mode = kind()
    handled: list[Any] = []
    released = mode.event()

    def handle(event: tuple[Any, ...]) -> None:
        name = event[0]
        if name == "wait":
            released.wait()
        elif name == "end":
            raise greenlet.GreenletExit
        elif name == "release":
            released.set()
        handled.append(name)

    names = ["one", "wait", "two", "wait", "end", "three", "release"]
    mode._waiting.extend((name,) for name in names)
    mode.spawn(mode._handle_waiting, handle)
    for _ in range(1000):
        if len(handled) == len(names) - 1:
            break
        mode.sleep(0.01)
    assert handled == ["one", "two", "three", "release", "wait", "wait"]


@pytest.mark.parametrize("kind", [_modes.Eventlet, _modes.Gevent])
def test_handlers_do_not_see_context_variables_of_each_other(kind: Any) -> None:
    mode = kind()
    seen: list[str] = []

    def handle(event: tuple[Any, ...]) -> None:
        seen.append(variable.get())
        variable.set(event[0])

    mode._waiting.extend([("one",), ("two",)])
    mode.spawn(mode._handle_waiting, handle)
    for _ in range(1000):
        if len(seen) == 2:
            break
        mode.sleep(0.01)
    assert seen == ["nothing", "nothing"]


class Closed:
    """Stands for an engine that was closed while a poll and many events waited."""

    def __init__(self) -> None:
        self._events: list[tuple[Any, ...]] = [(f"event {number}",) for number in range(599)]
        self._events.append((_engine.DONE, 7))

    def fileno(self) -> int:
        return 0

    def is_closed(self) -> bool:
        return True

    def drain(self, most: int) -> list[tuple[Any, ...]]:
        events, self._events = self._events[:most], self._events[most:]
        return events


@pytest.mark.parametrize("kind", [_modes.Eventlet, _modes.Gevent])
def test_all_events_of_a_closed_engine_are_handled(kind: Any) -> None:
    mode = kind()
    handled: list[Any] = []
    poll = mode._replies[7] = mode.event()
    mode.start(Closed(), handled.append)
    for _ in range(1000):
        if len(handled) == 599 and poll.is_set():
            break
        mode.sleep(0.01)
    assert len(handled) == 599 and poll.is_set()
