"""The extension for Flask, with its test client: handlers, their context, sessions, hooks and blueprints.

The suite of Flask-SocketIO runs against it in test_published.py; here is what that extension does not do, or does otherwise.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

flask = pytest.importorskip("flask")

from flask import Flask, current_app, g, has_request_context, session, url_for
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from kokanee.exceptions import ConnectionRefusedError
from kokanee.flask import (
    Namespace,
    SocketBlueprint,
    SocketIO,
    close_room,
    disconnect,
    emit,
    join_room,
    leave_room,
    participants,
    request,
    rooms,
    send,
)


class OwnContexts(Flask):
    """Has a context of its own, so that Flask's takes the place of the extension's."""

    def request_context(self, environ: Any) -> Any:
        return super().request_context(environ)


@pytest.fixture(params=[Flask, OwnContexts])
def app(request: Any) -> Flask:
    app = request.param(__name__)
    app.secret_key = "secret"
    return app


@pytest.fixture
def socketio(app: Flask) -> SocketIO:
    return SocketIO(app, async_mode="threading")


def names(received: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(each["name"], each["args"]) for each in received]


# Events.


def test_a_handler_of_all_events_in_all_namespaces(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("*", namespace="*")
    def anything(event: str, *args: Any) -> list[Any]:
        return [request.namespace, event, *args]

    @socketio.on("known", namespace="/other")
    def known() -> str:
        return "known"

    client = socketio.test_client(app, namespace="/other")
    assert client.emit("first", 1, 2, callback=True, namespace="/other") == ["/other", "first", 1, 2]
    assert client.emit("known", callback=True, namespace="/other") == "known"


def test_a_class_for_all_namespaces(app: Flask, socketio: SocketIO) -> None:
    class Everywhere(Namespace):
        def on_ask(self, value: Any) -> list[Any]:
            self.emit("said", value)
            return [request.namespace, value]

    socketio.on_namespace(Everywhere("*"))
    socketio.on_event("connect", lambda: None, namespace="/far")
    client = socketio.test_client(app, namespace="/far")
    assert client.emit("ask", 1, callback=True, namespace="/far") == ["/far", 1]
    assert names(client.get_received("/far")) == [("said", [1])]


def test_a_class_is_asked_before_functions_of_all_namespaces(app: Flask, socketio: SocketIO) -> None:
    class Own(Namespace):
        def on_ask(self, value: Any) -> list[Any]:
            return ["class", value]

    class All(Namespace):
        def trigger_event(self, event: str, *args: Any) -> Any:
            return ["all", event]

    socketio.on_namespace(Own("/own"))
    socketio.on_namespace(All("/all"))
    socketio.on_event("*", lambda event, *args: ["function", event], namespace="*")
    client = socketio.test_client(app, namespace="/own")
    client.connect(namespace="/all")
    assert client.emit("ask", 1, namespace="/own", callback=True) == ["class", 1]
    assert client.emit("other", 1, namespace="/own", callback=True) == ["function", "other"]
    assert client.emit("any", 1, namespace="/all", callback=True) == ["all", "any"]


def test_emit_has_several_arguments(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask() -> None:
        emit("none")
        emit("two", 1, [2])
        emit("tuple", (1, 2))
        emit("nested", (1, 2), 3)
        socketio.emit("all", 1, 2, broadcast=True)

    client = socketio.test_client(app)
    client.emit("ask")
    assert names(client.get_received()) == [
        ("none", []),
        ("two", [1, [2]]),
        ("tuple", [1, 2]),
        ("nested", [[1, 2], 3]),
        ("all", [1, 2]),
    ]


def test_who_gets_an_event(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask(other: str) -> None:
        emit("me", 1)
        emit("all", 1, broadcast=True)
        emit("others", 1, broadcast=True, include_self=False)
        emit("nobody", 1, broadcast=True, include_self=False, skip_sid=other)
        emit("other", 1, to=other)

    @socketio.event
    def sid() -> str:
        return request.sid

    one, two = socketio.test_client(app), socketio.test_client(app)
    one.emit("ask", two.emit("sid", callback=True))
    assert names(one.get_received()) == [("me", [1]), ("all", [1])]
    assert names(two.get_received()) == [("all", [1]), ("others", [1]), ("other", [1])]


def test_rooms_and_participants(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def enter(room: str) -> list[str]:
        join_room(room)
        assert request.sid in rooms() and room in rooms()
        return participants(room)

    @socketio.event
    def leave(room: str) -> int:
        leave_room(room)
        return len(participants(room))

    @socketio.event
    def close(room: str) -> int:
        close_room(room)
        return len(participants(room))

    @socketio.event
    def bye() -> None:
        disconnect()

    one, two = socketio.test_client(app), socketio.test_client(app)
    assert len(one.emit("enter", "tea", callback=True)) == 1
    both = two.emit("enter", "tea", callback=True)
    assert sorted(both) == sorted(socketio.participants("tea")) == sorted(socketio.participants())
    assert one.emit("leave", "tea", callback=True) == 1
    assert two.emit("close", "tea", callback=True) == 0
    two.emit("bye")
    assert not two.is_connected() and len(socketio.participants()) == 1


def test_coroutine_functions_are_handlers(app: Flask, socketio: SocketIO) -> None:
    import asyncio

    @socketio.before_event
    async def before() -> None:
        g.seen = [request.event["message"]]

    @socketio.event
    async def ask(value: int) -> list[Any]:
        await asyncio.sleep(0)
        emit("back", value)
        session["value"] = value
        return [*g.seen, current_app.name, request.sid == rooms()[0]]

    @socketio.event
    async def fail() -> None:
        raise ValueError("no")

    @socketio.on_error()
    async def on_error(error: Exception) -> str:
        return f"failed: {error}"

    client = socketio.test_client(app)
    assert client.emit("ask", 1, callback=True) == ["ask", app.name, True]
    assert names(client.get_received()) == [("back", [1])]
    assert client.emit("fail", callback=True) == "failed: no"


# The context.


def test_the_request_is_that_of_the_connection(app: Flask, socketio: SocketIO) -> None:
    app.add_url_rule("/<path:path>", "page", lambda path: path)
    seen: dict[str, Any] = {}

    @socketio.on("ask")
    def ask(*args: Any) -> None:
        seen.update(
            query=request.args.to_dict(),
            cookie=request.cookies.get("a"),
            header=request.headers["X-Own"],
            host=request.host,
            event=request.event,
            endpoint=request.endpoint,
            view=request.view_args,
            url=url_for("page", path="x"),
            json=request.get_json(silent=True),
            app=current_app._get_current_object(),
            environ=request.environ["flask.app"],
        )

    client = app.test_client()
    client.set_cookie("a", "b")
    socketio.test_client(
        app, query_string="?x=1", headers={"X-Own": "y"}, flask_test_client=client
    ).emit("ask", 1, 2)
    assert seen == {
        "query": {"x": "1"},
        "cookie": "b",
        "header": "y",
        "host": "localhost",
        "event": {"message": "ask", "args": (1, 2)},
        "endpoint": "page",
        "view": {"path": "socket.io"},
        "url": "/x",
        "json": None,
        "app": app,
        "environ": app,
    }


def test_a_handler_renders_a_template(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask(name: str) -> str:
        flask.flash("a message")
        session["a"] = 1
        source = "{{ name }} {{ session.a }} {{ request.event.message }} {{ get_flashed_messages()[0] }} {{ url_for('static', filename='x') }}"
        return flask.render_template_string(source, name=name)

    assert socketio.test_client(app).emit("ask", "<b>", callback=True) == "&lt;b&gt; 1 ask a message /static/x"


def test_what_a_request_does_not_have(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask() -> list[Any]:
        assert request.url_rule is None and request.routing_exception is not None
        assert not hasattr(request, "nothing")
        request.own = 1  # type: ignore[attr-defined]
        return [request.endpoint, request.blueprint, request.method, request.path, request.own]  # type: ignore[attr-defined]

    assert socketio.test_client(app).emit("ask", callback=True) == [None, None, "GET", "/socket.io", 1]


def test_the_class_of_requests_is_that_of_the_application(app: Flask, socketio: SocketIO) -> None:
    class Own(flask.Request):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.user = self.args.get("user", "nobody")

    class Slots(flask.Request):
        __slots__ = ("user",)

        def __getattr__(self, name: str) -> str:
            return "anything"

    @socketio.event
    def ask() -> list[Any]:
        return [isinstance(request, flask.Request), request.user, request.sid in rooms()]  # type: ignore[attr-defined]

    app.request_class = Own
    client = socketio.test_client(app, query_string="user=ada")
    assert client.emit("ask", callback=True) == [True, "ada", True]
    app.request_class = Slots
    assert client.emit("ask", callback=True) == [True, "anything", True]


def test_each_event_has_its_own_context(app: Flask, socketio: SocketIO) -> None:
    torn: list[Any] = []

    @app.teardown_request
    def end_request(error: BaseException | None) -> None:
        torn.append(("request", request.event["message"], str(error)))

    @app.teardown_appcontext
    def end_app(error: BaseException | None) -> None:
        torn.append(("app", g.get("value"), str(error)))

    @socketio.event
    def ask(value: int) -> bool:
        is_new = "value" not in g
        g.value = value
        return is_new

    @socketio.event
    def fail() -> None:
        g.value = 3
        raise ValueError("no")

    client = socketio.test_client(app)
    assert client.emit("ask", 1, callback=True) and client.emit("ask", 2, callback=True)
    with pytest.raises(ValueError, match="no"):
        client.emit("fail")
    assert torn == [
        *(("request", "ask", "None"), ("app", 1, "None")),
        *(("request", "ask", "None"), ("app", 2, "None")),
        *(("request", "fail", "no"), ("app", 3, "no")),
    ]
    assert not has_request_context() and not flask.has_app_context()


def test_signals_of_the_context_are_sent(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []
    signals = ("appcontext_pushed", "request_tearing_down", "appcontext_tearing_down", "appcontext_popped")
    listeners = [
        (getattr(flask, name), lambda sender, name=name, **_: seen.append(name)) for name in signals
    ]
    socketio.on_event("ask", lambda: None)
    client = socketio.test_client(app)
    for signal, listener in listeners:
        signal.connect(listener, app)
    client.emit("ask")
    for signal, listener in listeners:
        signal.disconnect(listener, app)
    assert seen == list(signals)


def test_a_context_within_that_of_the_application(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask() -> int:
        g.value += 1
        return int(g.value)

    with app.app_context():
        g.value = 1
        client = socketio.test_client(app)
        assert client.emit("ask", callback=True) == 2
        assert client.emit("ask", callback=True) == 3 == g.value


def test_the_context_goes_to_another_thread(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def ask() -> list[Any]:
        session["a"] = 1
        seen: list[Any] = []

        @flask.copy_current_request_context
        def work() -> None:
            seen.extend([request.sid, session["a"], request.args["x"], "value" in g])

        g.value = 1
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return [*seen, request.sid]

    sid, *others, same = socketio.test_client(app, query_string="x=1").emit("ask", callback=True)
    assert sid == same and others == [1, "1", False]


def test_outside_of_an_event(app: Flask, socketio: SocketIO) -> None:
    @app.get("/all")
    def everybody() -> str:
        emit("said", 1, broadcast=True)
        send("text", to="room")
        return str(len(participants()))

    @app.get("/me")
    def me() -> str:
        emit("said", 1)
        return ""

    client = socketio.test_client(app)
    assert app.test_client().get("/all").text == "1"
    assert names(client.get_received()) == [("said", [1])]
    with pytest.raises(RuntimeError, match="emit.. is called outside of an event"):
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.test_client().get("/me")


def test_a_callback_runs_in_the_context_of_the_emit(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    def answered(value: Any) -> None:
        seen.extend([request.sid, request.namespace, request.event["message"], value])

    @socketio.event
    def ask() -> str:
        emit("question", callback=answered)
        return request.sid

    client = socketio.test_client(app)
    sid = client.emit("ask", callback=True)
    client._server._handle_eio_message(client.eio_sid, "31[5]")
    assert seen == [sid, "/", None, 5]


# Errors and arity.


def test_a_handler_that_can_never_be_called(socketio: SocketIO) -> None:
    with pytest.raises(TypeError, match=r"connect\(auth\) or connect\(\), but this one is .*\(sid, environ\)"):
        socketio.on_event("connect", lambda sid, environ: None)
    with pytest.raises(TypeError, match=r"disconnect\(reason\) or disconnect\(\)"):
        socketio.on_event("disconnect", lambda a, b: None)
    with pytest.raises(TypeError, match=r"called as \*\(event, …\)"):
        socketio.on_event("*", lambda: None)

    class Wrong(Namespace):
        def on_connect(self, sid: str, environ: Any) -> None: ...

    with pytest.raises(TypeError, match="Wrong.on_connect"):
        socketio.on_namespace(Wrong("/wrong"))
    with pytest.raises(TypeError, match="did you mean 'ping_interval'"):
        SocketIO(Flask("x"), ping_intervall=3)


def test_a_type_error_in_a_connect_handler_runs_it_once(app: Flask, socketio: SocketIO) -> None:
    calls: list[Any] = []

    @socketio.event
    def connect(auth: Any) -> None:
        calls.append(auth)
        raise TypeError("mine")

    @socketio.on_error_default
    def on_error(error: Exception) -> bool:
        calls.append(str(error))
        return False

    assert not socketio.test_client(app, auth={"a": 1}).is_connected()
    assert calls == [{"a": 1}, "mine"]


def test_a_client_is_refused(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def connect() -> None:
        raise ConnectionRefusedError("not you")

    @socketio.on_error()
    def on_error(error: Exception) -> None:
        raise AssertionError("it is not an error")

    assert not socketio.test_client(app).is_connected()


def test_a_class_refuses_a_client_whatever_its_error_method_does(app: Flask, socketio: SocketIO) -> None:
    class Guarded(Namespace):
        def on_connect(self) -> None:
            raise ConnectionRefusedError("not you")

        def on_fail(self) -> None:
            raise ValueError("broken")

        async def error(self, error: Exception) -> str:
            return f"handled {error}"

    class Open(Guarded):
        def on_connect(self) -> None: ...

    socketio.on_namespace(Guarded("/guarded"))
    socketio.on_namespace(Open("/open"))
    assert not socketio.test_client(app, namespace="/guarded").is_connected("/guarded")
    client = socketio.test_client(app, namespace="/open")
    assert client.emit("fail", namespace="/open", callback=True) == "handled broken"


@pytest.mark.parametrize("is_strict", [True, False])
def test_an_empty_target_is_nobody_if_targets_are_strict(app: Flask, is_strict: bool) -> None:
    socketio = SocketIO(app, async_mode="threading", strict_targets=is_strict)

    @socketio.event
    def ask() -> None:
        emit("own", to=[])
        socketio.emit("all", to=[])

    client = socketio.test_client(app)
    client.emit("ask")
    assert [name for name, _ in names(client.get_received())] == ([] if is_strict else ["own", "all"])


def test_stop_does_not_end_the_process_of_a_test(app: Flask, socketio: SocketIO) -> None:
    app.testing = True

    @app.get("/stop")
    def end() -> str:
        with pytest.raises(RuntimeError, match="nothing serves the application of a test"):
            socketio.stop()
        return "went on"

    assert app.test_client().get("/stop").text == "went on"


# Hooks and blueprints.


def test_hooks_are_around_handlers(app: Flask, socketio: SocketIO) -> None:
    log: list[Any] = []

    @socketio.before_event
    def first() -> None:
        log.append(("first", request.event["message"]))

    @socketio.before_event
    def second() -> str | None:
        return "closed" if request.event["args"] == ("late",) else None

    @socketio.after_event
    def last(result: Any) -> Any:
        log.append(("last", result))
        return result

    @socketio.after_event
    def louder(result: Any) -> Any:
        return result.upper() if isinstance(result, str) else result

    @socketio.event
    def ask(value: str) -> str:
        log.append("ask")
        return value

    client = socketio.test_client(app)
    assert client.emit("ask", "tea", callback=True) == "TEA"
    assert log == [("first", "ask"), "ask", ("last", "TEA")]
    assert client.emit("ask", "late", callback=True) == "closed"
    assert log[3:] == [("first", "ask")]


def test_a_hook_refuses_a_client(app: Flask, socketio: SocketIO) -> None:
    @socketio.before_event
    def check() -> bool | None:
        return False if request.event["message"] == "connect" and "key" not in request.args else None

    @socketio.event
    def connect() -> None: ...

    assert not socketio.test_client(app).is_connected()
    assert socketio.test_client(app, query_string="key=1").is_connected()


def test_blueprints_group_handlers(app: Flask, socketio: SocketIO) -> None:
    log: list[str] = []
    chat = SocketBlueprint("chat", namespace="/chat")
    admin = SocketBlueprint("admin")

    @chat.before_event
    def before() -> None:
        log.append("before")

    @chat.on("connect")
    def connect(auth: Any) -> None:
        log.append(f"connect {auth['a']}")

    @chat.event
    def say(text: str) -> str:
        emit("said", text)
        return request.namespace

    @chat.on("fail", namespace="/inner")
    def fail() -> None:
        raise ValueError("no")

    @chat.on_error(namespace="/inner")
    def on_error(error: Exception) -> str:
        return f"caught {error}"

    @admin.before_event
    def before_admin() -> None:
        log.append("before admin")

    @admin.event
    def ban() -> str:
        return request.namespace

    class Own(Namespace):
        def on_ask(self) -> str:
            return request.namespace

    chat.on_namespace(Own("/class"))
    chat.register_blueprint(admin, "/admin")
    socketio.register_blueprint(chat, "/v1")
    client = socketio.test_client(app, namespace="/v1/chat", auth={"a": 5})
    assert client.emit("say", "tea", namespace="/v1/chat", callback=True) == "/v1/chat"
    assert names(client.get_received("/v1/chat")) == [("said", ["tea"])]
    assert log == ["before", "connect 5", "before"]
    for name in ("inner", "class", "admin"):
        client.connect(namespace=f"/v1/chat/{name}")
    assert client.emit("fail", namespace="/v1/chat/inner", callback=True) == "caught no"
    assert client.emit("ask", namespace="/v1/chat/class", callback=True) == "/v1/chat/class"
    assert client.emit("ban", namespace="/v1/chat/admin", callback=True) == "/v1/chat/admin"
    assert log[3:] == ["before", "before", "before", "before admin"]


def test_a_blueprint_below_two_namespaces(app: Flask, socketio: SocketIO) -> None:
    class Own(Namespace):
        def on_ask(self) -> list[str]:
            return [self.namespace, request.namespace]

    blueprint = SocketBlueprint("twice")
    blueprint.on_namespace(Own("/own"))
    for prefix in ("/one", "/two"):
        socketio.register_blueprint(blueprint, prefix)
    client = socketio.test_client(app, namespace="/one/own")
    client.connect(namespace="/two/own")
    for name in ("/one/own", "/two/own"):
        assert client.emit("ask", namespace=name, callback=True) == [name, name]
    for late in (blueprint.event, blueprint.before_event, blueprint.after_event):
        with pytest.raises(RuntimeError, match="'twice' is registered already"):
            late(lambda: None)
    everywhere = SocketBlueprint("everywhere", namespace="/chat")
    everywhere.on_event("ask", lambda: None, namespace="*")
    with pytest.raises(ValueError, match="it is for all namespaces"):
        socketio.register_blueprint(everywhere)


def test_handlers_go_to_each_application_that_is_made() -> None:
    socketio = SocketIO(async_mode="threading")

    @socketio.event
    def early() -> str:
        return current_app.name

    for name in ("one", "two"):
        app = Flask(name)
        socketio.init_app(app)
        assert app.extensions["socketio"] is socketio
        assert socketio.test_client(app).emit("early", callback=True) == name
        if name == "one":
            socketio.on_event("late", lambda: "late")
    assert socketio.test_client(app).emit("late", callback=True) == "late"


# Several applications.


def test_an_extension_serves_several_applications() -> None:
    socketio = SocketIO(async_mode="threading", path="live")
    blueprint = SocketBlueprint("blueprint", "/blueprint")
    apps = [Flask(name) for name in ("one", "two")]
    for app in apps:
        socketio.init_app(app, cors_allowed_origins=f"https://{app.name}.example")

    @socketio.event
    def who(*args: Any) -> str:
        emit("from", current_app.name)
        socketio.emit("all", current_app.name)
        emit("in", current_app.name, to="room")
        return current_app.name

    @socketio.event
    def enter() -> list[str]:
        join_room("room")
        assert socketio.participants("room") == participants("room") == [request.sid]
        return rooms()

    class Own(Namespace):
        def on_ask(self) -> list[Any]:
            self.emit("asked", current_app.name)
            self.enter_room(request.sid, "tea")
            return [current_app.name, self.rooms(request.sid) == rooms()]

    @blueprint.event
    def ask() -> str:
        socketio.start_background_task(socketio.emit, "later", current_app.name, namespace="/blueprint").join()
        return current_app.name

    socketio.on_namespace(Own("/own"))
    socketio.register_blueprint(blueprint)
    for app, client in [(app, socketio.test_client(app)) for app in apps]:
        name = app.name
        client.emit("enter")
        assert client.emit("who", callback=True) == name
        assert names(client.get_received()) == [("from", [name]), ("all", [name]), ("in", [name])]
        for namespace in ("/own", "/blueprint"):
            client.connect(namespace=namespace)
        assert client.emit("ask", namespace="/own", callback=True) == [name, True]
        assert client.emit("ask", namespace="/blueprint", callback=True) == name
        assert names(client.get_received("/own")) == [("asked", [name])]
        assert names(client.get_received("/blueprint")) == [("later", [name])]
        with app.app_context():
            socketio.emit("news", name)
            assert len(socketio.participants()) == 1
        assert names(client.get_received()) == [("news", [name])]
        url = "/live/?EIO=4&transport=polling"
        assert app.test_client().get(url, headers={"Origin": f"https://{name}.example"}).status_code == 200
        assert app.test_client().get(url, headers={"Origin": "https://other.example"}).status_code == 400
    # Outside of all of them it is about the last one.
    assert socketio.server is apps[1].extensions["kokanee.flask"]
    assert apps[0].extensions["socketio"] is apps[1].extensions["socketio"] is socketio


def test_a_client_of_one_application_within_the_context_of_another() -> None:
    socketio = SocketIO(async_mode="threading")
    one, two = Flask("one"), Flask("two")
    socketio.init_app(one)
    socketio.init_app(two)

    class Own(Namespace):
        def on_ask(self) -> str:
            return current_app.name

    @socketio.event(namespace="/own")
    def tell() -> list[str]:
        with two.app_context():
            socketio.emit("told", current_app.name, namespace="/own")
        return [current_app.name, *socketio.participants(namespace="/own")]

    socketio.on_namespace(Own("/own"))
    with two.app_context():
        client = socketio.test_client(one, namespace="/own")
        other = socketio.test_client(two, namespace="/own")
        assert client.emit("ask", namespace="/own", callback=True) == "one"
        name, *sids = client.emit("tell", namespace="/own", callback=True)
    assert name == "one" and len(sids) == 1
    assert client.get_received("/own") == [] and names(other.get_received("/own")) == [("told", ["two"])]


def test_a_callback_runs_for_the_application_that_has_asked() -> None:
    socketio = SocketIO(async_mode="threading")
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        socketio.init_app(app)

    @socketio.event
    def ask() -> None:
        # As `call`s of a real client do, it comes on a thread without a context.
        answered = socketio._in_context(lambda: emit("answered", current_app.name))
        thread = threading.Thread(target=answered)
        thread.start()
        thread.join()

    for app in apps:
        client = socketio.test_client(app)
        client.emit("ask")
        assert names(client.get_received()) == [("answered", [app.name])]


def test_applications_decide_about_their_sessions() -> None:
    socketio = SocketIO(async_mode="threading")
    shared, copied = Flask("shared"), Flask("copied")
    socketio.init_app(shared, manage_session=False)
    socketio.init_app(copied)
    for app, expected in ((shared, False), (copied, True)):
        with app.app_context():
            assert socketio.manage_session is expected


# Sessions.


class Stored(CallbackDict[str, Any], SessionMixin):
    """Is a session on the server's side."""

    def __init__(self, initial: dict[str, Any], sid: str) -> None:
        def changed(own: Any) -> None:
            own.modified = True

        super().__init__(initial, changed)
        self.sid = sid
        self.modified = False


class Store(SessionInterface):
    """Keeps sessions in a dict; the cookie has an id."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.opened = 0

    def open_session(self, app: Flask, request: flask.Request) -> Stored:
        self.opened += 1
        sid = request.cookies.get(self.get_cookie_name(app)) or f"id{len(self.kept)}"
        return Stored(dict(self.kept.get(sid, {})), sid)

    def save_session(self, app: Flask, session: Any, response: flask.Response) -> None:
        self.kept[session.sid] = dict(session)
        response.set_cookie(self.get_cookie_name(app), session.sid)


def with_routes(app: Flask) -> None:
    @app.get("/set/<value>")
    def put(value: str) -> str:
        session["value"] = value
        return value

    @app.get("/get")
    def get() -> str:
        return str(session.get("value"))


def with_events(socketio: SocketIO) -> None:
    @socketio.event
    def connect() -> None: ...

    @socketio.event
    def put(value: str) -> None:
        session["value"] = value

    @socketio.event
    def get() -> Any:
        return session.get("value")

    @socketio.event
    def nothing() -> None: ...


def test_a_session_on_the_servers_side_is_shared(app: Flask) -> None:
    # As of an extension that is initialized after this one.
    socketio = SocketIO(app, async_mode="threading")
    store = app.session_interface = Store()
    with_routes(app)
    with_events(socketio)
    browser = app.test_client()
    browser.get("/set/tea")
    client = socketio.test_client(app, flask_test_client=browser)
    assert not socketio.manage_session
    assert client.emit("get", callback=True) == "tea"
    browser.get("/set/milk")
    assert client.emit("get", callback=True) == "milk"
    client.emit("put", "juice")
    assert browser.get("/get").text == "juice"
    opened = store.opened
    client.emit("nothing")
    if type(app) is Flask:
        assert store.opened == opened


def test_a_session_in_a_cookie_is_copied(app: Flask, socketio: SocketIO) -> None:
    with_routes(app)
    with_events(socketio)
    browser = app.test_client()
    browser.get("/set/tea")
    one = socketio.test_client(app, flask_test_client=browser)
    two = socketio.test_client(app, flask_test_client=browser)
    assert socketio.manage_session
    browser.get("/set/milk")
    assert one.emit("get", callback=True) == "tea"
    one.emit("put", "juice")
    assert one.emit("get", callback=True) == "juice"
    assert two.emit("get", callback=True) == "tea"
    assert browser.get("/get").text == "milk"


@pytest.mark.parametrize("manages", [True, False])
def test_an_application_chooses_what_becomes_of_the_session(app: Flask, manages: bool) -> None:
    app.session_interface = Store()
    socketio = SocketIO(app, async_mode="threading", manage_session=manages)
    with_routes(app)
    with_events(socketio)
    browser = app.test_client()
    browser.get("/set/tea")
    client = socketio.test_client(app, flask_test_client=browser)
    client.emit("put", "juice")
    assert browser.get("/get").text == ("tea" if manages else "juice")
    assert client.emit("get", callback=True) == "juice"


class InCookie(SessionInterface):
    """Keeps the session in a cookie, and is not one of Flask's own."""

    def open_session(self, app: Flask, request: flask.Request) -> Stored:
        value = request.cookies.get(self.get_cookie_name(app))
        return Stored({"value": value} if value else {}, "")

    def save_session(self, app: Flask, session: Any, response: flask.Response) -> None:
        response.set_cookie(self.get_cookie_name(app), session["value"])


def test_a_session_that_turns_out_to_be_in_a_cookie_is_copied(app: Flask, socketio: SocketIO) -> None:
    app.session_interface = InCookie()
    with_routes(app)
    with_events(socketio)
    browser = app.test_client()
    browser.get("/set/tea")
    client = socketio.test_client(app, flask_test_client=browser)
    assert client.emit("get", callback=True) == "tea"
    client.emit("put", "juice")
    assert client.emit("get", callback=True) == "juice"


def test_a_session_without_a_secret_key() -> None:
    app = Flask("x")
    socketio = SocketIO(app, async_mode="threading")
    with_events(socketio)
    client = socketio.test_client(app)
    client.emit("put", "tea")
    assert client.emit("get", callback=True) == "tea"
    assert list(socketio._server._sessions) == [client.eio_sid]
    client._server._handle_eio_disconnect(client.eio_sid)
    assert not socketio._server._sessions


# Published extensions.


def test_users_of_flask_login_in_a_session_of_flask_session() -> None:
    login = pytest.importorskip("flask_login")
    sessions = pytest.importorskip("flask_session")
    cachelib = pytest.importorskip("cachelib")
    app = Flask("x")
    app.secret_key = "secret"
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cachelib.SimpleCache())
    socketio = SocketIO(app, async_mode="threading")
    sessions.Session(app)
    manager = login.LoginManager(app)

    class User(login.UserMixin):  # type: ignore[misc]
        def __init__(self, id: str) -> None:
            self.id = id

    manager.user_loader(User)

    @app.get("/login/<name>")
    def log_in(name: str) -> str:
        login.login_user(User(name))
        return ""

    @app.get("/seen")
    def seen() -> str:
        return str(session.get("seen"))

    @socketio.event
    def who() -> Any:
        session["seen"] = session.get("seen", 0) + 1
        return login.current_user.get_id()

    browser = app.test_client()
    stranger = socketio.test_client(app, flask_test_client=app.test_client())
    browser.get("/login/ada")
    client = socketio.test_client(app, flask_test_client=browser)
    assert client.emit("who", callback=True) == client.emit("who", callback=True) == "ada"
    assert browser.get("/seen").text == "2"
    assert stranger.emit("who", callback=True) == []
    # Its cookie never comes to the client, so that this connection has a copy.
    assert stranger.emit("who", callback=True) == [] and stranger.socketio._server._sessions


@pytest.mark.parametrize("mode", ["gevent", "eventlet"])
def test_coroutine_functions_need_threads(mode: str) -> None:
    pytest.importorskip(mode)
    app = Flask("x")
    socketio = SocketIO(app, async_mode=mode)

    @socketio.event
    async def ask() -> None: ...

    with pytest.raises(RuntimeError, match=f"needs threads, and not async_mode='{mode}'"):
        socketio.test_client(app).emit("ask")
