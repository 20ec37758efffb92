"""Flask: the server is in front of the application's WSGI.

    gunicorn --threads 8 flask_app:app
    flask --app flask_app run
"""

import pathlib
from typing import Any

from flask import Flask, Response, send_from_directory

import kokanee

PAGE = pathlib.Path(__file__).parent / "page"

app = Flask(__name__, static_folder=None)
sio = kokanee.Server(async_mode="threading")
app.wsgi_app = kokanee.WSGIApp(sio, app.wsgi_app)  # type: ignore[method-assign]


@app.get("/")
@app.get("/<path:name>")
def page(name: str = "index.html") -> Response:
    return send_from_directory(PAGE, name)


@app.post("/announce/<text>")
def announce(text: str) -> tuple[str, int]:
    # Any code of the process may emit, on any thread.
    sio.emit("back", text)
    return "", 204


@sio.event
def my_message(sid: str, data: Any) -> Any:
    sio.emit("back", data)
    return data


@sio.event
def save(sid: str, data: Any) -> None:
    # What needs the application, such as extensions with its settings, asks for its context.
    with app.app_context():
        app.logger.info("saved %r", data)
