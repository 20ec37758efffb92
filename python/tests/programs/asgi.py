import kokanee as socketio

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(
    sio, static_files={"/": {"content_type": "text/html", "filename": "index.html"}}
)


@sio.event
async def connect(sid, environ):
    print("connect ", sid)


@sio.event
async def my_message(sid, data):
    print("message ", data)
    await sio.emit("back", data, to=sid)
    return data


@sio.event
async def disconnect(sid):
    print("disconnect ", sid)
