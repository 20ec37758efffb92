"""All that the extension for Flask adds to that of Flask-SocketIO, in two applications of one process; `$HOST` is the host's kind."""

import os

host = os.environ.get("HOST", "own")
if host == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif host == "eventlet":
    import eventlet

    eventlet.monkey_patch()

from cachelib.file import FileSystemCache
from flask import Flask, current_app, g, session
from flask_session import Session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from kokanee.flask import (
    ConnectionRefusedError,
    Namespace,
    SocketBlueprint,
    SocketIO,
    disconnect,
    emit,
    join_room,
    leave_room,
    participants,
    request,
    rooms,
)

socketio = SocketIO(path="/live/socket.io")


def make(name):
    app = Flask(name)
    app.secret_key = "secret"
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(os.environ["SESSIONS"], threshold=0))
    app.config["SESSION_COOKIE_PATH"] = "/"
    socketio.init_app(app)
    # After the extension: it looks at the sessions when it needs them.
    Session(app)

    @app.get("/set/<value>")
    def put(value):
        session["value"] = value
        return value

    @app.get("/get")
    def get():
        return str(session.get("value"))

    @app.get("/announce/<text>")
    def announce(text):
        socketio.emit("announced", (current_app.name, text), broadcast=True)
        return text

    return app


main, office = make("main"), make("office")
app = DispatcherMiddleware(main, {"/office": office})


@socketio.before_event
def before():
    g.log = [f"before {request.event['message']}"]
    if "closed" in request.event["args"]:
        return "closed"
    return None


@socketio.after_event
def after(result):
    return [*result, current_app.name] if isinstance(result, list) and result[:1] == ["hooked"] else result


@socketio.event
def connect(auth):
    if auth and "bad" in auth:
        raise ConnectionRefusedError("bad auth", {"code": 7})


@socketio.event
def ask(*args):
    return ["hooked", *g.log, *args]


@socketio.event
def emits():
    emit("one", 1)
    emit("three", 1, [2], b"3")
    emit("tuple", (1, 2))
    emit("all", "a", "b", broadcast=True)
    emit("others", "c", broadcast=True, include_self=False)
    socketio.emit("all too", 1, broadcast=True)


@socketio.event
def enter(room):
    join_room(room)
    return len(participants(room)), request.sid in socketio.participants(room), room in rooms()


@socketio.event
def leave(room):
    leave_room(room)
    return len(participants(room))


@socketio.event
def put(value):
    session["value"] = value


@socketio.event
def get():
    return session.get("value")


@socketio.event
def fail(text):
    raise ValueError(text)


@socketio.on_error()
def failed(error):
    return f"{request.event['message']}: {error}"


@socketio.event
def bye():
    disconnect()


if host not in ("gevent", "eventlet"):

    @socketio.event
    async def later(value):
        import asyncio

        await asyncio.sleep(0)
        emit("back", value)
        session["value"] = value
        return [value, request.sid in rooms(), current_app.name]


@socketio.on("connect", namespace="/anywhere")
def connect_anywhere():
    pass


@socketio.on("*", namespace="*")
def anything(event, *args):
    emit("heard", event, *args)
    return [request.namespace, event, *args]


@socketio.on("*")
def others(event, *args):
    return ["other", event, *args]


chat = SocketBlueprint("chat", namespace="/chat")


@chat.before_event
def members_only():
    g.log.append("chat")


@chat.after_event
def of_chat(result):
    return [*result, "after chat"] if isinstance(result, list) else result


@chat.event
def say(text):
    return ["hooked", *g.log, text]


class Room(Namespace):
    def on_connect(self):
        self.emit("welcome", (request.sid, self.namespace))

    def on_ask(self, value):
        return ["hooked", *g.log, value, request.namespace]


chat.on_namespace(Room("/room"))
socketio.register_blueprint(chat)


@main.get("/stop")
def stop():
    socketio.stop()
    return "stopping"


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    if host == "werkzeug":
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", port, app, threaded=True)
    elif host == "waitress":
        import waitress

        waitress.serve(app, port=port, host="127.0.0.1")
    else:
        main.wsgi_app = DispatcherMiddleware(main.wsgi_app, {"/office": office})
        socketio.run(main, port=port)
    print("run has returned", flush=True)
