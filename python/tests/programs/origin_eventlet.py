import os

import eventlet

import kokanee as socketio

sio = socketio.Server()
app = socketio.WSGIApp(
    sio, static_files={"/": {"content_type": "text/html", "filename": "index.html"}}
)


@sio.event
def connect(sid, environ):
    print("connect ", sid)


@sio.event
def my_message(sid, data):
    print("message ", data)
    sio.emit("back", data, to=sid)
    return data


@sio.event
def disconnect(sid):
    print("disconnect ", sid)


if __name__ == "__main__":
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(os.environ["PORT"]))), app)
