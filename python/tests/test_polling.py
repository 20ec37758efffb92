"""Long-polling: bursts, and what a request that is not as it should be gets for an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import socketio
from raw import Poller, exchange
from support import Program, program, until


@pytest.fixture(params=["sync", "async"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    with program("semantics.py", KIND=request.param) as running:
        yield running


def test_a_client_of_python_gets_a_burst_in_parts_that_it_takes(server: Program) -> None:
    one = socketio.Client(reconnection=False)
    numbers: list[int] = []
    one.on("number", numbers.append)
    one.connect(f"http://127.0.0.1:{server.port}", transports=["polling"], wait_timeout=10)
    one.emit("burst", 100)
    until(lambda: len(numbers) == 100)
    assert sorted(numbers) == list(range(100)) and one.connected
    one.disconnect()


@pytest.mark.parametrize("agent, most", [("python-requests/2.32.3", 16), ("Python/3.11 aiohttp/3.14.5", 16), ("", 100)])
def test_a_burst_is_split_for_clients_of_python_alone(server: Program, agent: str, most: int) -> None:
    class Client(Poller):
        def request(self, method: str, body: object = None, **options: object) -> tuple[int, str]:
            return super().request(method, body, headers={"User-Agent": agent} if agent else {})

    one = Client(server.port)
    one.join()
    one.post("\x1e".join(['42["burst",60]', '421["list"]']))
    sizes: list[int] = []
    packets: list[str] = []
    while '431[["a","b"]]' not in packets or len(packets) < 61:
        received = one.get().split("\x1e")
        sizes.append(len(received))
        packets += received
    assert [packet for packet in packets if packet.startswith("42")] == [f'42["number",{n}]' for n in range(60)]
    assert max(sizes) <= most


def test_more_packets_than_16_are_accepted(server: Program) -> None:
    one = Poller(server.port)
    one.join()
    one.post("\x1e".join(f'42{number}["list"]' for number in range(40)))
    answers: set[str] = set()
    while len(answers) < 40:
        answers |= {packet for packet in one.get().split("\x1e") if packet.startswith("43")}
    assert answers == {f'43{number}[["a","b"]]' for number in range(40)}


@pytest.mark.parametrize("body", [b"4\xff\xfe", b"9", b"bA"])
def test_a_body_that_is_not_a_packet_is_refused_and_ends_the_session(server: Program, body: bytes) -> None:
    one = Poller(server.port)
    one.join()
    assert one.request("POST", body)[0] == 400
    assert one.request("GET")[0] == 400


def test_a_body_without_a_length_is_read_if_it_is_chunked(server: Program) -> None:
    one = Poller(server.port)
    one.join()
    packet = b'427["list"]'
    head = f"POST /socket.io/?EIO=4&transport=polling&sid={one.sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(packet), packet)
    assert b"ok" in exchange(server.port, head + chunked).split(b"\r\n\r\n", 1)[1]
    assert one.until("437") == '437[["a","b"]]'


def test_answers_of_polls_are_not_kept_by_caches(server: Program) -> None:
    request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head = exchange(server.port, request).split(b"\r\n\r\n")[0].lower()
    assert b"cache-control: no-store" in head


def test_jsonp_escapes_what_a_script_would_misread(server: Program) -> None:
    request = b"GET /socket.io/?EIO=4&transport=polling&j=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    body = exchange(server.port, request).split(b"\r\n\r\n", 1)[1]
    assert b'___eio[0]("0{\\"sid\\":\\"' in body
