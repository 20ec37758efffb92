"""A program of the extension for Flask; `$HOST` says how it is served."""

import asyncio
import os
import sys

host = os.environ.get("HOST", "own")
if host == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif host == "eventlet":
    import eventlet

    eventlet.monkey_patch()

from flask import Flask, g, request, session

from kokanee.flask import SocketIO, call, emit

app = Flask(__name__)
app.secret_key = "secret"
socketio = SocketIO(app, cors_allowed_origins=os.environ.get("ORIGINS"))


@app.get("/")
def index():
    return f"a page {os.environ.get('VERSION', '')}"


@app.get("/fail")
def fail():
    raise ValueError("a fault of the page")


@app.get("/stop")
def stop():
    socketio.stop()
    return "stopping"


@app.get("/announce/<text>")
def announce(text):
    socketio.emit("back", text)
    return text


@socketio.event
def my_message(data):
    emit("back", data)
    assert request.path == "/socket.io/" and session.get("never") is None
    return data


@socketio.event
async def later(data):
    return data


@socketio.event
def slow(number):
    g.number = number
    sid = request.sid
    # Others run meanwhile.
    socketio.sleep(0.02)
    return [g.number, *request.event["args"], request.sid == sid, request.args.get("name")]


@socketio.event
def ask_back(number):
    def answered(double):
        emit("doubled", (double, request.event["message"]))

    emit("question", number, callback=answered)
    return call("question", number + 1)


@socketio.event
async def ask_back_later(number):
    return await asyncio.to_thread(call, "question", number)


@socketio.event
def leave():
    socketio.stop()


def main():
    port = int(os.environ["PORT"])
    if host == "werkzeug":
        app.run(port=port)
    elif host == "waitress":
        import waitress

        waitress.serve(app, port=port, host="127.0.0.1")
    else:
        socketio.run(app, port=port, debug="debug" in sys.argv, log_output="log" in sys.argv)
    print("run has returned", flush=True)


if __name__ == "__main__":
    main()
