"""A program of Flask-SocketIO under the package's own host."""

import os

import kokanee

kokanee.install_as_socketio()

from flask import Flask, request
from flask_socketio import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading")


@app.route("/")
def index():
    return "a page"


@socketio.on("my_message")
def my_message(data):
    emit("back", data)
    print("message", request.path, flush=True)
    return data


if __name__ == "__main__":
    kokanee.run(app, port=int(os.environ["PORT"]))
