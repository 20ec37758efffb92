"""The handlers of the site under test, the same for both kinds of servers."""

import asyncio
import threading

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from kokanee.django import SocketView, sockets

from .models import Note

private = sockets.namespace("/private")


@sockets.event
def connect(socket, auth):
    if auth == {"refuse": True}:
        raise PermissionDenied("not today")
    socket.data["auth"] = auth
    socket.join("everybody")


@sockets.event
def disconnect(socket, reason):
    sockets.emit("left", {"data": socket.data["auth"], "user": socket.user.get_username()})


@sockets.event
def echo(socket, *args):
    return args


@sockets.event
async def aecho(socket, *args):
    return args


@sockets.event
def whoami(socket):
    return socket.user.get_username()


@sockets.on("whoami async")
async def whoami_async(socket):
    user = await socket.auser()
    assert user.get_username() == socket.user.get_username()
    return user.get_username()


@sockets.on("too early")
async def too_early(socket, name):
    try:
        return str(getattr(socket, name))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@sockets.event
def note(socket, text):
    """Saves a note, which emits it."""
    return Note.objects.create(author=socket.user.get_username(), text=text).pk


@sockets.on("note async")
async def note_async(socket, text):
    user = await socket.auser()
    made = await Note.objects.acreate(author=user.get_username(), text=text)
    return made.pk


@sockets.on("count")
async def count(socket):
    return await Note.objects.acount()


def unmarked(function):
    """Hides that a function is a coroutine."""
    return lambda *args: function(*args)


@sockets.on("unmarked")
@unmarked
async def whoami_unmarked(socket):
    return (await socket.auser()).get_username()


@sockets.on("atomic")
@transaction.atomic
def atomic(socket, text):
    Note.objects.create(author="atomic", text=text)
    raise LookupError(text)


@sockets.event
def remember(socket, word):
    socket.session["word"] = word


@sockets.on("remember async")
async def remember_async(socket, word):
    session = await socket.asession()
    session["word"] = word


@sockets.event
def recall(socket):
    return socket.session.get("word")


@sockets.event
def ask(socket):
    """Asks the client from a function, and answers with its answer."""
    return socket.call("question", "ready?", timeout=20)


@sockets.on("ask async")
async def ask_async(socket):
    return await socket.acall("question", "ready?", timeout=20)


@sockets.event
def shout(socket, text):
    sockets.emit("shouted", text, to="everybody", skip=socket)


@sockets.event
def rooms(socket, *names):
    for name in names:
        socket.join(name)
    return sorted(socket.rooms)


@sockets.event
def thread(socket):
    """Says where functions run, and whether the connection of this thread is open."""
    return {"main": threading.current_thread() is threading.main_thread(), "open": connection.connection is not None}


#: What blocked handlers wait for.
unblocked = threading.Event()


@sockets.event
def block(socket):
    assert unblocked.wait(30)
    socket.emit("unblocked")


@sockets.on("block async")
async def block_async(socket):
    while not unblocked.is_set():
        await asyncio.sleep(0.01)
    socket.emit("unblocked")


@sockets.event
def unblock(socket):
    unblocked.set()


@sockets.event
def leave(socket):
    socket.disconnect()


@sockets.on("*")
def anything(event, socket, *args):
    return {"event": event, "args": args}


@sockets.on("connect", namespace="*")
def enter_any(socket, auth):
    if auth != {"word": "open"}:
        raise PermissionDenied("which word?")


@sockets.on("where", namespace="/guarded")
def where(socket):
    return socket.namespace


@sockets.on("ask too early")
async def ask_too_early(socket):
    try:
        return socket.call("question", "ready?")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@private.on("connect")
async def enter(socket):
    user = await socket.auser()
    if not user.is_authenticated:
        return False


@private.event
async def secret(socket):
    private.emit("revealed", socket.namespace)
    return (await socket.auser()).get_username()


@sockets.on("fail")
def fail(socket):
    raise LookupError("a fault of the handler")


@sockets.on("fail async")
async def fail_async(socket):
    raise LookupError("a fault of the handler")


@sockets.on("files")
def files(socket, content):
    socket.emit("file", {"content": content[::-1]})
    return content, len(content)


class Members(SocketView):
    """Has what namespaces for users have in common."""

    room = "members"

    def on_connect(self, socket, auth):
        if not socket.user.is_authenticated:
            raise PermissionDenied("log in")
        socket.join(self.room)

    def on_disconnect(self, socket):
        self.namespace.emit("left", socket.user.get_username())


@sockets.register("/members", room="tea")
class Tea(Members):
    def dispatch(self, *args):
        if self.event == "closed":
            return "closed"
        return super().dispatch(*args)

    def on_say(self, socket, text, *others):
        Note.objects.create(author=self.socket.user.get_username(), text=text)
        self.namespace.emit("said", (text, *others), to=self.room, skip=socket)
        return sorted(socket.rooms)

    async def on_count(self, socket):
        self.seen = getattr(self, "seen", 0) + 1
        user = await self.socket.auser()
        return self.seen, user.get_username(), await Note.objects.acount()

    def on_closed(self, socket):
        raise AssertionError("it is closed")
