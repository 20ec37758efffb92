"""A chat with login, rooms and a list of who is there: `python app.py`, `flask run`, or `gunicorn --threads 8 app:app`."""

from __future__ import annotations

import os
import pathlib
import time
from collections import deque

from flask import Flask, Response, redirect, render_template, send_from_directory, session, url_for
from flask import request as http
from werkzeug.wrappers import Response as Redirect

from kokanee.flask import (
    ConnectionRefusedError,
    SocketBlueprint,
    SocketIO,
    emit,
    join_room,
    leave_room,
    participants,
    request,
)

ROOMS = {"lobby": "Say hello", "tea": "Oolong, sencha, rooibos", "rust": "Borrowed and returned"}
#: Messages that a new member of a room sees.
KEPT = 50

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "for this example only")
socketio = SocketIO(app)
chat = SocketBlueprint("chat")

#: Who a client is, and the last messages of each room. With several workers, both belong into a database.
names: dict[str, str] = {}
history: dict[str, deque[dict[str, object]]] = {room: deque(maxlen=KEPT) for room in ROOMS}


# Pages.


@app.get("/")
def index() -> str | Redirect:
    if "name" not in session:
        return redirect(url_for("login"))
    return render_template("chat.html", name=session["name"], rooms=ROOMS)


@app.get("/login")
def login() -> str:
    return render_template("login.html")


@app.post("/login")
def log_in() -> str | Redirect:
    name = " ".join(http.form.get("name", "").split())[:24]
    if not name:
        return render_template("login.html", problem="A name, please.")
    session["name"] = name
    return redirect(url_for("index"))


@app.post("/logout")
def log_out() -> Redirect:
    session.clear()
    return redirect(url_for("login"))


@app.get("/socket.io.min.js")
def client() -> Response:
    return send_from_directory(pathlib.Path(__file__).parent.parent / "page", "socket.io.min.js")


# Events. The session is that of the pages; whoever has not logged in is refused.


def tell_who_is_in(room: str) -> None:
    people = sorted({names[sid] for sid in participants(room) if sid in names}, key=str.lower)
    emit("people", {"room": room, "people": people}, to=room)


@chat.on("connect")
def connect() -> None:
    if "name" not in session:
        raise ConnectionRefusedError("log in first")
    names[request.sid] = session["name"]
    session["room"] = None


@chat.event
def enter(room: str) -> list[dict[str, object]] | None:
    """Moves a client to a room, and answers with what was said there."""
    if room not in ROOMS:
        return None
    left = session["room"]
    if left is not None and left != room:
        leave_room(left)
        tell_who_is_in(left)
    session["room"] = room
    join_room(room)
    tell_who_is_in(room)
    return list(history[room])


@chat.event
def say(text: str) -> bool:
    """Sends a message to everybody in the client's room."""
    room = session["room"]
    if room is None or not isinstance(text, str) or not text.strip():
        return False
    message = {"room": room, "name": session["name"], "text": text.strip()[:2000], "at": time.time()}
    history[room].append(message)
    emit("message", message, to=room)
    return True


@chat.event
def typing() -> None:
    if session["room"] is not None:
        emit("typing", session["name"], to=session["room"], include_self=False)


@chat.on("disconnect")
def disconnect(reason: str) -> None:
    names.pop(request.sid, None)
    if session.get("room") is not None:
        tell_who_is_in(session["room"])


socketio.register_blueprint(chat)

if __name__ == "__main__":
    socketio.run(app, port=int(os.environ.get("PORT", "5000")))
