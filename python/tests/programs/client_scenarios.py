"""What clients do, one scenario after the other: `python client_scenarios.py PORT TRANSPORTS [NAME...]`.

Prints what each has seen as lines of JSON after SAW. The server is client_server.py. See client_kind.py for the kinds of clients.
"""

import contextlib
import json
import sys
import threading

from client_kind import IS_ASYNC, Client, ClientNamespace, do, errors, handler, main, pause, show, socketio, until

PORT, TRANSPORTS = int(sys.argv[1]), sys.argv[2].split(",")
SCENARIOS = {}


class Run:
    """One scenario: its clients, and what it has seen."""

    def __init__(self, name):
        self.name = name
        self.seen = {}
        self.clients = []

    def url(self, more=""):
        return f"http://127.0.0.1:{PORT}?scenario={self.name}{more}"

    def client(self, **options):
        client = Client(**{"reconnection": False, "handle_sigint": False, **options})
        self.clients.append(client)
        return client

    async def connect(self, client, url=None, **options):
        options = {"transports": TRANSPORTS, "wait_timeout": 10, **options}
        await do(client.connect(url or self.url(), **options))
        return client

    async def connected(self, options=None, **more):
        return await self.connect(self.client(**options or {}), **more)

    async def end(self):
        for client in self.clients:
            await do(client.disconnect())


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


async def error_of(value, *kinds):
    """Returns the error that a call ends with."""
    try:
        await do(value() if callable(value) else value)
    except kinds as error:
        return error
    raise AssertionError("no error")


def named(error):
    """Returns the class of an error, and its text."""
    return [type(error).__module__.partition(".")[2], type(error).__name__, str(error)]


class Collected:
    """Handlers of a client that keep what they get."""

    def __init__(self, client, *names, namespace=None):
        self.events = []
        for name in names:
            client.on(name, lambda *args, name=name: self.add(name, args), namespace=namespace)

    def add(self, name, args):
        self.events.append([name, *show(list(args))])

    async def wait(self, count, name=None):
        def found():
            return [event for event in self.events if name in (None, event[0])]

        await until(lambda: len(found()) >= count)
        return found()


# Connecting.


@scenario
async def auth_as_a_value(run):
    for auth in ({"token": "ä🐟", "n": [1, None]}, None, {}):
        client = await run.connected(auth=auth)
        await do(client.call("nothing"))
        await do(client.disconnect())


@scenario
async def auth_that_is_not_an_object(run):
    for auth in ("text", ["list", 1]):
        client = run.client()
        try:
            await run.connect(client, auth=auth)
        except errors.ConnectionError as error:
            run.seen[str(auth)] = str(error)
        else:
            run.seen[str(auth)] = await do(client.call("echo", "connected"))
        await do(client.disconnect())


@scenario
async def auth_as_a_function(run):
    counts = iter(range(10))
    client = run.client()
    for _ in range(2):
        await run.connect(client, auth=lambda: {"count": next(counts)})
        await do(client.call("nothing"))
        await do(client.disconnect())
    run.seen["calls"] = next(counts)


@scenario
async def auth_as_the_function_of_its_kind(run):
    @handler
    async def auth():
        await pause(0.01)
        return {"from": "a function"}

    await run.connected(auth=auth)


@scenario
async def auth_for_each_namespace(run):
    client = await run.connected(auth={"token": 1}, namespaces=["/", "/chat"])
    run.seen["namespaces"] = sorted(client.namespaces)


@scenario
async def headers_and_query(run):
    client = await run.connected(
        url=run.url("&extra=%C3%A4%26b&extra=2"), headers={"X-Test": "one", "Authorization": "Bearer abc"}
    )
    run.seen["echo"] = await do(client.call("echo", "x"))


@scenario
async def headers_and_url_as_functions(run):
    @handler
    async def url():
        return run.url("&extra=function")

    @handler
    async def headers():
        return {"X-Test": "from a function"}

    await run.connected(url=url, headers=headers)


@scenario
async def other_paths(run):
    for path in ("deep/path", "/deep/path", "/deep/path/"):
        client = await run.connected(socketio_path=path)
        run.seen[path] = show(await do(client.call("echo", path)))


@scenario
async def forms_of_urls(run):
    for url in (
        "http://127.0.0.1:{}/?scenario={}",
        "http://localhost:{}/a/page?scenario={}",
        "ws://127.0.0.1:{}?scenario={}",
    ):
        client = await run.connected(url=url.format(PORT, run.name))
        run.seen[url] = show(await do(client.call("echo", url)))


@scenario
async def state_before_while_and_after(run):
    client = run.client()

    def state():
        return [
            client.connected,
            dict(client.namespaces),
            client.sid is None,
            client.get_sid(),
            client.get_sid("/chat"),
        ]

    def shape():
        return [
            client.connected,
            sorted(client.namespaces),
            isinstance(client.sid, str),
            client.namespaces.get("/") == client.get_sid() == client.get_sid("/"),
            client.get_sid("/chat") == client.namespaces.get("/chat"),
            client.get_sid("/none"),
            client.get_sid() == client.get_sid("/chat"),
        ]

    run.seen["before"] = state()
    await run.connect(client, namespaces=["/", "/chat"], headers={"X-Test": "h"}, auth={"a": 1})
    run.seen["connected"] = shape()
    run.seen["connection"] = [
        client.connection_url == run.url(),
        client.connection_headers,
        client.connection_auth,
        client.connection_transports,
        client.connection_namespaces,
        client.socketio_path,
    ]
    run.seen["transport"] = [client.transport(), await do(client.call("transport"))]
    await do(client.disconnect())
    await until(lambda: not client.connected)
    run.seen["after"] = state()


@scenario
async def attributes_of_options(run):
    client = run.client(reconnection=True, reconnection_attempts=3, reconnection_delay=2, reconnection_delay_max=4)
    names = ("reconnection", "reconnection_attempts", "reconnection_delay", "reconnection_delay_max")
    run.seen["given"] = [getattr(client, name) for name in (*names, "randomization_factor", "handle_sigint")]
    client = run.client(randomization_factor=0.1)
    run.seen["default"] = [getattr(client, name) for name in (*names, "randomization_factor")]
    run.seen["asyncio"] = client.is_asyncio_based()
    run.seen["reasons"] = [
        client.reason.CLIENT_DISCONNECT,
        client.reason.SERVER_DISCONNECT,
        client.reason.TRANSPORT_ERROR,
    ]


@scenario
async def unknown_options(run):
    with contextlib.suppress(TypeError):
        Client(no_such_option=1)
        raise AssertionError("it was taken")
    run.seen["refused"] = True
    run.seen["transports"] = named(
        await error_of(lambda: run.client().connect(run.url(), transports=["pigeon"]), ValueError)
    )[1:]


@scenario
async def a_second_connect(run):
    client = await run.connected()
    run.seen["error"] = named(await error_of(lambda: client.connect(run.url()), errors.ConnectionError))
    run.seen["echo"] = await do(client.call("echo", 1))


@scenario
async def the_same_client_again(run):
    client = run.client()
    collected = Collected(client, "connect", "disconnect")
    sids = set()
    for _ in range(3):
        await run.connect(client)
        sids.add(client.get_sid())
        run.seen.setdefault("echo", []).append(await do(client.call("echo", 1)))
        await do(client.disconnect())
    run.seen["sids"] = len(sids)
    run.seen["events"] = await collected.wait(6)


@scenario
async def not_waiting_for_namespaces(run):
    client = run.client()
    collected = Collected(client, "connect")
    await run.connect(client, wait=False)
    await collected.wait(1)
    run.seen["connected"] = client.connected
    run.seen["echo"] = await do(client.call("echo", 1))


# Namespaces.


@scenario
async def namespaces_are_those_with_handlers(run):
    client = run.client()
    collected = Collected(client, "connect", namespace="/chat")
    client.on("*", lambda *args: None, namespace="*")
    await run.connect(client)
    run.seen["namespaces"] = sorted(client.namespaces)
    run.seen["events"] = await collected.wait(1)
    run.seen["default"] = named(await error_of(lambda: client.emit("note", 1), errors.BadNamespaceError))
    run.seen["call"] = named(
        await error_of(lambda: client.call("note", 1, namespace="/none"), errors.BadNamespaceError)
    )
    run.seen["chat"] = await do(client.call("echo", 1, namespace="/chat"))


@scenario
async def one_namespace_as_a_text(run):
    client = await run.connected(namespaces="/chat")
    run.seen["namespaces"] = sorted(client.namespaces)
    await do(client.emit("note", "in chat", namespace="/chat"))
    run.seen["echo"] = await do(client.call("echo", 1, namespace="/chat"))


@scenario
async def not_connected(run):
    client = run.client()
    for name in ("emit", "call", "send"):
        run.seen[name] = named(await error_of(lambda name=name: getattr(client, name)("x"), errors.BadNamespaceError))
    await run.connect(client)
    await do(client.disconnect())
    await until(lambda: not client.connected)
    run.seen["after"] = named(await error_of(lambda: client.emit("x"), errors.BadNamespaceError))


@scenario
async def refusals(run):
    for refuse in ("false", "empty", "data"):
        client = run.client()
        collected = Collected(client, "connect", "connect_error", "disconnect")
        error = await error_of(
            lambda client=client, refuse=refuse: run.connect(client, auth={"refuse": refuse}), errors.ConnectionError
        )
        run.seen[refuse] = [named(error), await collected.wait(1), client.connected, dict(client.namespaces)]


@scenario
async def one_of_several_namespaces_is_refused(run):
    client = run.client()
    collected = Collected(client, "connect", "connect_error", namespace="/private")
    error = await error_of(lambda: run.connect(client, namespaces=["/", "/private", "/chat"]), errors.ConnectionError)
    run.seen["error"] = named(error)
    run.seen["events"] = await collected.wait(1)
    run.seen["failed"] = client.failed_namespaces
    run.seen["after"] = client.connected


@scenario
async def a_namespace_that_is_not_there(run):
    client = run.client()
    collected = Collected(client, "connect_error", namespace="/nowhere")
    error = await error_of(lambda: run.connect(client, namespaces=["/nowhere"]), errors.ConnectionError)
    run.seen["error"] = named(error)
    run.seen["events"] = await collected.wait(1)


@scenario
async def refused_and_not_waiting(run):
    client = run.client()
    collected = Collected(client, "connect", "connect_error")
    await run.connect(client, auth={"refuse": "data"}, wait=False)
    run.seen["events"] = await collected.wait(1)
    await until(lambda: not client.namespaces)


# Events.

VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    'zwei 🐟 \u2028\\"',
    [],
    {},
    [None],
    {"a": {"b": [1, {"c": None}]}},
    2**53 + 1,
    10**21,
    b"",
    b"\x00\xff",
    [b"1", {"x": b"2"}],
    {"_placeholder": False, "num": "no"},
    {"ключ": "значение"},
]


@scenario
async def events_of_the_client(run):
    client = await run.connected()
    for value in VALUES:
        # The order of handlers is the server's matter.
        await do(client.emit("note", value))
        await do(client.call("nothing"))
    for arguments in (
        (),
        (1,),
        (1, "two"),
        (None,),
        (None, None),
        ([1, 2],),
        ((1, 2),),
        (b"1", [b"2"], {"three": b"3"}),
    ):
        await do(client.emit("note", arguments))
        await do(client.call("nothing"))
    await do(client.emit("note", data=[1, 2], namespace="/"))
    await do(client.call("nothing"))


@scenario
async def events_of_the_server(run):
    client = run.client()
    collected = Collected(client, "said")
    await run.connect(client)
    for index, value in enumerate(
        [*((value,) for value in VALUES), (), (1, "two"), ([1],), (b"1", [b"2"], {"c": b"3"})], 1
    ):
        await do(client.emit("say", value))
        await collected.wait(index)
    run.seen["said"] = collected.events


@scenario
async def messages(run):
    client = run.client()
    collected = Collected(client, "message")
    await run.connect(client)
    for index, data in enumerate(["hello", b"bytes", {"a": 1}, [1], ("two", 2)], 1):
        await do(client.send(data))
        await collected.wait(index)
    run.seen["events"] = collected.events
    answers = []
    await do(client.send("with an answer", callback=lambda *args: answers.append(args)))
    await until(lambda: answers)
    run.seen["answer"] = show(answers)


@scenario
async def large_events(run):
    client = run.client()
    collected = Collected(client, "said")
    await run.connect(client)
    for size in (100_000, 1_000_000):
        run.seen[f"text {size}"] = await do(client.call("echo", "x" * size)) == "x" * size
        run.seen[f"bytes {size}"] = await do(client.call("echo", {"b": b"\xff" * size})) == {"b": b"\xff" * size}
    await do(client.emit("say", "y" * 1_000_000))
    run.seen["said"] = (await collected.wait(1))[0] == ["said", "y" * 1_000_000]


@scenario
async def answers_of_the_server(run):
    client = await run.connected()
    for value in VALUES:
        run.seen[f"echo {len(run.seen)}"] = show(await do(client.call("echo", value)))
    run.seen["nothing"] = show(await do(client.call("nothing")))
    run.seen["none"] = show(await do(client.call("echo")))
    run.seen["pair"] = show(await do(client.call("pair")))
    run.seen["three"] = show(await do(client.call("echo", (1, [2], b"3"), timeout=10)))
    answers = []

    def answered(*args):
        answers.append(show(list(args)))

    for event, data in (("nothing", None), ("pair", None), ("echo", "one"), ("echo", (1, 2, [3]))):
        count = len(answers)
        await do(client.emit(event, data, callback=answered))
        await until(lambda count=count: len(answers) > count)
    run.seen["callbacks"] = answers


@scenario
async def a_callback_of_its_kind(run):
    client = await run.connected()
    answers = []

    @handler
    async def answered(*args):
        await pause(0.01)
        answers.append(args)

    await do(client.emit("echo", (1, 2), callback=answered))
    await until(lambda: answers)
    run.seen["answers"] = show(answers)


@scenario
async def no_answer(run):
    client = await run.connected()
    run.seen["call"] = named(await error_of(lambda: client.call("silent", timeout=0.2), errors.TimeoutError))[:2]
    run.seen["after"] = await do(client.call("echo", 1))


@scenario
async def answers_of_the_client(run):
    client = run.client()
    answered = Collected(client, "answered")
    results = {
        "none": None,
        "value": 1,
        "text": "x",
        "zero": 0,
        "empty": "",
        "false": False,
        "list": [1, 2],
        "dict": {"a": b"1"},
        "tuple": (1, "two"),
        "no arguments": (),
        "bytes": b"\x01",
        "tuple of none": (None,),
    }
    for name, value in results.items():
        client.on(name, lambda *args, value=value: value)

    @client.on("of its kind")
    @handler
    async def kind(*args):
        await pause(0.01)
        return "got", list(args)

    await run.connect(client)
    for index, name in enumerate([*results, "of its kind", "no handler"], 1):
        await do(client.emit("ask", (name, 1, b"2")))
        await answered.wait(index)
    run.seen["answered"] = answered.events


@scenario
async def a_handler_that_fails(run):
    client = run.client()
    collected = Collected(client, "said")

    @client.on("fails")
    def fails():
        raise ValueError("expected by the test")

    await run.connect(client)
    await do(client.emit("emit", "fails"))
    await do(client.emit("say", "after"))
    run.seen["said"] = await collected.wait(1)
    run.seen["echo"] = await do(client.call("echo", 1))


@scenario
async def a_handler_calls_the_server(run):
    client = run.client()
    results = []

    @client.on("go")
    @handler
    async def go(value):
        answer = await do(client.call("echo", value, timeout=10))
        await do(client.emit("note", ["from a handler", answer]))
        results.append(await do(client.call("pair", timeout=10)))
        return answer

    answered = Collected(client, "answered")
    await run.connect(client)
    await do(client.emit("ask", ("go", 5)))
    run.seen["answered"] = await answered.wait(1)
    run.seen["results"] = show(results)


@scenario
async def a_handler_disconnects(run):
    client = run.client()
    collected = Collected(client, "disconnect")

    @client.on("said")
    @handler
    async def said(value):
        await do(client.disconnect())

    await run.connect(client)
    await do(client.emit("say", "leave"))
    run.seen["events"] = await collected.wait(1)
    await until(lambda: not client.connected)


@scenario
async def the_connect_handler_emits(run):
    client = run.client()
    collected = Collected(client, "said", "greeting")

    @client.event
    @handler
    async def connect():
        await do(client.emit("say", "from connect"))

    await run.connect(client, auth={"greet": ["hello"]})
    run.seen["events"] = sorted(await collected.wait(2))


@scenario
async def catch_all(run):
    client = run.client()
    events = []

    def add(*args):
        events.append(show(list(args)))
        return len(args)

    for namespace in ("/", "*"):
        client.on("*", lambda *args, namespace=namespace: add(f"any in {namespace}", *args), namespace=namespace)
        client.on("known", lambda *args, namespace=namespace: add(f"known in {namespace}", *args), namespace=namespace)
    answered = Collected(client, "answered", namespace="/chat")
    await run.connect(client, namespaces=["/", "/chat", "/class"])
    count = 0
    for namespace in ("/", "/class", "/chat"):
        for name in ("known", "unknown"):
            await do(client.emit("ask", (name, 1, [2]), namespace=namespace))
            if namespace == "/chat":
                # Handlers for all namespaces are not asked where others are.
                count += 1
                await answered.wait(count)
            else:
                # The question, and that it was answered.
                await until(lambda: sum("answered" in event for event in events) == len(events) / 2 and events)
                await until(lambda name=name, namespace=namespace: any(name in e and "answered" in e for e in events))
                run.seen[f"{namespace} {name}"] = events[:]
                events.clear()
    run.seen["chat"] = [answered.events, events]


@scenario
async def class_based_namespaces(run):
    events = []

    class Chat(ClientNamespace):
        @handler
        async def on_connect(self):
            events.append("connect")
            await do(self.emit("note", "from the class"))

        def on_disconnect(self, reason):
            events.append(["disconnect", reason])

        def on_said(self, *args):
            events.append(["said", *show(list(args))])

        @handler
        async def on_go(self, value):
            return "went", await do(self.call("echo", value))

        @handler
        async def leave(self):
            await do(self.send("bye"))
            await do(self.disconnect())

        def on_answered(self, *args):
            events.append(["answered", *show(list(args))])

        def on_message(self, *args):
            events.append(["message", *show(list(args))])

    client = run.client()
    chat = Chat("/chat")
    client.register_namespace(chat)
    await run.connect(client)
    run.seen["namespaces"] = sorted(client.namespaces)
    await do(chat.emit("say", (1, b"2")))
    await until(lambda: ["said", 1, "bytes 32"] in events)
    await do(client.emit("ask", ("go", 7), namespace="/chat"))
    await do(client.emit("ask", ("unknown", 7), namespace="/chat"))
    await until(lambda: sum(event[0] == "answered" for event in events) == 2)
    await do(chat.send("hello"))
    await until(lambda: ["message", "hello"] in events)
    await do(chat.disconnect())
    await until(lambda: ["disconnect", "client disconnect"] in events)
    run.seen["events"] = sorted(events, key=str)


@scenario
async def functions_before_classes(run):
    events = []

    class Any(ClientNamespace):
        def on_said(self, *args):
            events.append(["class", *args])

        def on_greeting(self, *args):
            events.append(["class greeting", *args])

    client = run.client()
    client.register_namespace(Any("/"))
    client.on("said", lambda *args: events.append(["function", *args]))
    await run.connect(client, auth={"greet": 1})
    await do(client.emit("say", 1))
    await until(lambda: len(events) == 2)
    run.seen["events"] = sorted(events)


@scenario
async def a_class_for_all_namespaces(run):
    events = []

    class Everywhere(ClientNamespace):
        def on_said(self, namespace, *args):
            events.append([namespace, *args])

    client = run.client()
    client.register_namespace(Everywhere("*"))
    await run.connect(client, namespaces=["/chat"])
    await do(client.emit("say", 1, namespace="/chat"))
    await until(lambda: events)
    run.seen["events"] = events


@scenario
async def what_cannot_be_registered(run):
    other = socketio.ClientNamespace if IS_ASYNC else socketio.AsyncClientNamespace
    client = run.client()
    for value in (other("/x"), object(), ClientNamespace):
        try:
            client.register_namespace(value)
        except ValueError as error:
            run.seen[f"{len(run.seen)}"] = str(error)


@scenario
async def ways_to_register(run):
    client = run.client()
    events = []

    @client.event
    def said(*args):
        events.append(["said", *args])

    @client.event(namespace="/chat")
    def answered(*args):
        events.append(["answered", *args])

    @client.on("my event", namespace="/chat")
    def mine(*args):
        return "mine"

    run.seen["returned"] = [callable(said), callable(answered), client.on("other", said)]
    await run.connect(client)
    run.seen["namespaces"] = sorted(client.namespaces)
    await do(client.emit("say", 1))
    await do(client.emit("ask", "my event", namespace="/chat"))
    await until(lambda: len(events) == 2)
    # A later handler takes the place of the first.
    client.on("said", lambda *args: events.append(["later", *args]))
    await do(client.emit("say", 2))
    await until(lambda: len(events) == 3)
    run.seen["events"] = sorted(events)


# Ends.


@scenario
async def the_client_disconnects(run):
    client = run.client()
    events = []
    for namespace in ("/", "/chat"):
        client.on(
            "disconnect", lambda *args, namespace=namespace: events.append([namespace, *args]), namespace=namespace
        )
        client.on(
            "__disconnect_final",
            lambda *args, namespace=namespace: events.append([namespace, "final", *args]),
            namespace=namespace,
        )
    await run.connect(client)
    await do(client.disconnect())
    await until(lambda: len(events) == 4)
    run.seen["events"] = sorted(events)
    # Again is no error.
    await do(client.disconnect())
    await do(client.shutdown())
    run.seen["again"] = len(events)


@scenario
async def disconnecting_what_never_connected(run):
    client = run.client()
    await do(client.disconnect())
    await do(client.shutdown())
    await do(client.wait())
    run.seen["connected"] = client.connected


@scenario
async def the_server_disconnects(run):
    client = run.client(reconnection=True)
    collected = Collected(client, "connect", "disconnect", "__disconnect_final")
    await run.connect(client)
    await do(client.emit("kick"))
    await until(lambda: not client.connected)
    await do(client.wait())
    run.seen["events"] = await collected.wait(3)
    run.seen["after"] = [client.connected, dict(client.namespaces)]


@scenario
async def the_server_disconnects_one_of_two(run):
    client = run.client()
    collected = Collected(client, "disconnect", namespace="/chat")
    await run.connect(client, namespaces=["/", "/chat"])
    await do(client.emit("kick", namespace="/chat"))
    run.seen["events"] = await collected.wait(1)
    await until(lambda: "/chat" not in client.namespaces)
    run.seen["after"] = [client.connected, sorted(client.namespaces), await do(client.call("echo", 1))]


@scenario
async def a_disconnect_handler_of_old(run):
    client = run.client()
    events = []

    @client.event
    def disconnect():
        events.append("no argument")

    await run.connect(client)
    await do(client.disconnect())
    await until(lambda: events)
    run.seen["events"] = events


@scenario
async def shutdown_while_connected(run):
    client = run.client()
    collected = Collected(client, "disconnect")
    await run.connect(client)
    await do(client.call("nothing"))
    await do(client.shutdown())
    run.seen["events"] = await collected.wait(1)
    await until(lambda: not client.connected)


@scenario
async def tasks_and_sleep(run):
    client = await run.connected()
    results = []

    @handler
    async def work(value, more=None):
        await do(client.sleep(0.01))
        results.append([value, more, await do(client.call("echo", value))])

    task = client.start_background_task(work, 1, more="2")
    if IS_ASYNC:
        await task
    else:
        task.join()
        run.seen["other thread"] = isinstance(task, threading.Thread) or hasattr(task, "join")
    run.seen["results"] = results


@scenario
async def wait_ends_with_the_connection(run):
    client = await run.connected()

    @handler
    async def later():
        await do(client.sleep(0.1))
        await do(client.disconnect())

    client.start_background_task(later)
    await do(client.wait())
    run.seen["connected"] = client.connected


async def everything():
    names = sys.argv[3:] or SCENARIOS
    for name in names:
        run = Run(name)
        try:
            await SCENARIOS[name](run)
            await run.end()
        except Exception as error:
            run.seen["raised"] = (
                f"{type(error).__name__}: {error} in line {error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno}"
            )
            with contextlib.suppress(Exception):
                await run.end()
        print("SAW", json.dumps([name, run.seen]), flush=True)
    print("END", flush=True)


main(everything())
