"""Where functions of a Django project run beside an event loop: how many at once, and what asgiref and Django rely on."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

pytest.importorskip("django")

from asgiref.sync import async_to_sync, sync_to_async

from kokanee.django._threads import Threads

LIMIT = 30


def run(coroutine: Any) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(coroutine, LIMIT)

    return asyncio.run(within())


def test_functions_run_beside_each_other_up_to_a_limit() -> None:
    threads = Threads(3)
    together = threading.Barrier(3, timeout=LIMIT)
    running, most = [0], [0]
    lock = threading.Lock()

    def meet(number: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*(threads.run(meet, number) for number in range(9)))

    assert run(main()) == list(range(9))
    assert most == [3]
    # Another event loop uses the same threads.
    assert run(main()) == list(range(9))
    assert threads._count == 3


def test_one_thread_is_enough_for_one_at_a_time() -> None:
    threads = Threads(8)

    async def main() -> set[int]:
        return {await threads.run(threading.get_ident) for _ in range(20)}

    assert len(run(main())) == 1


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(LookupError, LookupError), (StopIteration, RuntimeError), (asyncio.CancelledError, asyncio.CancelledError)],
)
def test_exceptions_come_out(raised: type[BaseException], seen: type[BaseException]) -> None:
    threads = Threads(2)

    def fail() -> None:
        raise raised("no")

    async def main() -> str:
        with pytest.raises(seen):
            await threads.run(fail)
        return await threads.run(str, 5)  # type: ignore[no-any-return]

    assert run(main()) == "5"


def test_who_no_longer_waits_holds_up_nobody() -> None:
    threads = Threads(1)
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        assert go_on.wait(LIMIT)

    async def main() -> int:
        blocked = asyncio.ensure_future(threads.run(block))
        await asyncio.to_thread(begun.wait, LIMIT)
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        other = asyncio.ensure_future(threads.run(int, "7"))
        await asyncio.sleep(0)
        go_on.set()
        return await other

    assert run(main()) == 7


def test_what_a_function_needs_of_asgiref() -> None:
    threads = Threads(4)
    known: contextvars.ContextVar[str] = contextvars.ContextVar("known")

    def function(loop: asyncio.AbstractEventLoop) -> str:
        thread = threading.get_ident()

        async def coroutine() -> None:
            # On the event loop of the host, and what blocks is back on the thread of the function, as connections to databases are its own.
            assert asyncio.get_running_loop() is loop
            assert threading.get_ident() != thread
            assert await sync_to_async(threading.get_ident)() == thread

        async_to_sync(coroutine)()
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return known.get()

    async def main(name: str) -> str:
        known.set(name)
        return await threads.run(function, asyncio.get_running_loop())  # type: ignore[no-any-return]

    async def both() -> list[str]:
        return await asyncio.gather(main("one"), main("two"))

    assert run(both()) == ["one", "two"]
