"""The site's own tests, as a project writes them: clients of the test kit within the transactions of Django's test cases."""

import collections
import datetime
import decimal
import json
import threading
import urllib.request

import socketio
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from kokanee import _engine
from kokanee.django import ConnectionRefusedError, sockets
from kokanee.django._plain import plain
from kokanee.django.test import Event, SocketClient, SocketLiveServerTestCase

from .models import Note


Pair = collections.namedtuple("Pair", "one other")


class Size(models.TextChoices):
    """Is a choice that is a text."""

    SMALL = "s"


class Place(models.IntegerChoices):
    """Is a choice that is a number."""

    FIRST = 1


class Handlers(TestCase):
    """Runs handlers within the transaction of a test."""

    @classmethod
    def setUpTestData(cls):
        cls.ada = get_user_model().objects.create_user("ada")

    def test_the_user_is_that_of_the_client_of_django(self):
        self.client.force_login(self.ada)
        with SocketClient(self.client) as one, SocketClient() as other:
            self.assertEqual(one.call("whoami"), "ada")
            self.assertEqual(one.call("whoami async"), "ada")
            self.assertEqual(other.call("whoami"), "")

    def test_a_handler_writes_in_the_transaction_of_the_test(self):
        self.client.force_login(self.ada)
        with SocketClient(self.client) as socket, SocketClient() as reader:
            with self.captureOnCommitCallbacks(execute=True):
                pk = socket.call("note", "one")
            self.assertEqual(Note.objects.get(pk=pk).author, "ada")
            socket.call("note async", "two")
            self.assertEqual(reader.call("count"), 2)
            (noted,) = reader.take("noted")
            self.assertEqual(noted.args[0]["text"], "one")

    def test_methods_of_a_class_are_handlers(self):
        with self.assertRaisesMessage(ConnectionRefusedError, "log in"):
            SocketClient(namespace="/members")
        self.client.force_login(self.ada)
        with SocketClient(self.client, namespace="/members") as one, SocketClient(self.client, namespace="/members") as other:
            self.assertEqual(one.call("say", "hello", 2), ["tea"])
            self.assertEqual(other.take(), [Event("said", "hello", 2)])
            self.assertEqual(one.take(), [])
            # Each event has an object of its own.
            self.assertEqual(one.call("count"), (1, "ada", 1))
            self.assertEqual(other.call("count"), (1, "ada", 1))
            self.assertEqual(one.call("closed"), "closed")
            other.disconnect()
            self.assertEqual(one.take(), [Event("left", "ada")])

    def test_nothing_is_left_of_the_other_tests(self):
        self.assertEqual(Note.objects.count(), 0)

    def test_pages_emit_to_the_clients(self):
        with SocketClient() as socket:
            self.client.get("/add/tea")
            self.assertEqual(socket.take(), [Event("adding", "tea")])

    def test_the_session_is_shared_with_pages(self):
        self.client.get("/remember/one")
        with SocketClient(self.client) as socket:
            self.assertEqual(socket.call("recall"), "one")
            socket.call("remember", "two")
            self.assertEqual(self.client.get("/remembered").content, b"two")

    def test_a_fault_of_a_handler_is_raised_in_the_test(self):
        with SocketClient() as socket:
            for event in ("fail", "fail async"):
                with self.assertRaisesMessage(LookupError, "a fault of the handler"):
                    socket.emit(event)
            self.assertEqual(socket.call("echo", 1), 1)

    def test_decorated_handlers(self):
        self.client.force_login(self.ada)
        with SocketClient(self.client) as socket:
            self.assertEqual(socket.call("unmarked"), "ada")
            with self.assertRaisesMessage(LookupError, "rolled back"):
                socket.emit("atomic", "rolled back")
            self.assertEqual(Note.objects.count(), 0)

    def test_a_session_in_a_cookie_is_only_read(self):
        engine = "django.contrib.sessions.backends.signed_cookies"
        with override_settings(SESSION_ENGINE=engine):
            self.client.get("/remember/one")
            with SocketClient(self.client) as socket, self.assertLogs("kokanee.django", "WARNING"):
                self.assertEqual(socket.call("recall"), "one")
                socket.call("remember", "two")
            self.assertEqual(self.client.get("/remembered").content, b"one")

    def test_a_refusal_is_raised_in_the_test(self):
        with self.assertRaisesMessage(ConnectionRefusedError, "not today"):
            SocketClient(auth={"refuse": True})
        with self.assertRaisesMessage(ConnectionRefusedError, "Connection rejected by server"):
            SocketClient(namespace="/private")
        with self.assertRaisesMessage(ConnectionRefusedError, "this host is not in ALLOWED_HOSTS"):
            SocketClient(headers={"Host": "evil.example"})

    def test_a_handler_asks_the_client(self):
        with SocketClient() as socket:
            socket.on("question", lambda text: f"{text} yes")
            self.assertEqual(socket.call("ask"), "ready? yes")
            self.assertEqual(socket.call("ask async"), "ready? yes")
            self.assertEqual(socket.take("question"), [Event("question", "ready?")] * 2)
        with SocketClient() as silent, self.assertRaisesMessage(AssertionError, "the client is asked 'question'"):
            silent.call("ask")

    def test_rooms_and_the_end(self):
        with SocketClient() as one, SocketClient() as two:
            one.emit("shout", "hello")
            self.assertEqual((one.take(), two.take()), ([], [Event("shouted", "hello")]))
            one.emit("leave")
            self.assertFalse(one.connected)
            self.assertEqual(two.take(), [Event("left", {"data": None, "user": ""})])
            sockets.emit("direct", 1, to=two.sid)
            sockets.emit("direct", 2, to=[])
            self.assertEqual(two.take(), [Event("direct", 1)])

    def test_bytes(self):
        with SocketClient() as socket:
            self.assertEqual(socket.call("files", b"\x00\xff"), (b"\x00\xff", 2))
            self.assertEqual(socket.take(), [Event("file", {"content": b"\xff\x00"})])

    def test_values_of_django_are_sent_as_texts(self):
        data = {
            "day": datetime.date(2026, 11, 30),
            "price": [decimal.Decimal("9.90")],
            "text": gettext_lazy("yes"),
            "plain": [1, None, "x"],
            "inner": collections.OrderedDict(pair=Pair(mark_safe("<b>"), datetime.timedelta(minutes=5))),
            "choice": [Size.SMALL, Place.FIRST],
        }
        with SocketClient() as socket:
            sockets.emit("values", data)
            expected = {"day": "2026-11-30", "price": ["9.90"], "text": "yes", "plain": [1, None, "x"]}
            expected |= {"inner": {"pair": ["<b>", "P0DT00H05M00S"]}, "choice": ["s", 1]}
            self.assertEqual(json.loads(_engine.dumps(plain(data))[0]), expected)
            self.assertEqual(socket.take(), [Event("values", expected)])
            with self.assertRaisesMessage(TypeError, "Object of type set is not JSON serializable"):
                sockets.emit("values", {"tags": {1}})

    def test_a_namespace_without_a_handler_of_connect_has_that_of_all(self):
        with self.assertRaisesMessage(ConnectionRefusedError, "which word?"):
            SocketClient(namespace="/guarded")
        with SocketClient(namespace="/guarded", auth={"word": "open"}) as socket:
            self.assertEqual(socket.call("where"), "/guarded")

    def test_a_page_disconnects_a_client(self):
        with SocketClient() as one, SocketClient() as two:
            self.client.get(f"/disconnect/{one.sid}")
            self.assertEqual((one.connected, two.connected), (False, True))
            self.assertEqual([event.name for event in two.take()], ["left"])

    def test_other_options(self):
        with override_settings(KOKANEE={"namespaces": ["/", "/open"]}), SocketClient(
            namespace="/open", auth={"word": "open"}
        ):
            pass
        with self.assertRaisesMessage(ConnectionRefusedError, "Unable to connect"):
            SocketClient(namespace="/open", auth={"word": "open"})
        with override_settings(KOKANEE={"pathe": "x"}), self.assertRaisesMessage(
            ImproperlyConfigured, "KOKANEE has the unknown option 'pathe'; did you mean 'path'?"
        ):
            SocketClient()

    def test_functions_run_in_the_thread_of_the_test(self):
        with SocketClient() as socket:
            self.assertEqual(socket.call("thread"), {"main": threading.current_thread() is threading.main_thread(), "open": True})

    def test_an_event_that_nothing_answers(self):
        with SocketClient(self.client) as socket:
            self.assertEqual(socket.call("anything else", 1), {"event": "anything else", "args": [1]})
        self.client.force_login(self.ada)
        with SocketClient(self.client, namespace="/private") as socket:
            with self.assertRaisesMessage(AssertionError, "no handler has answered 'nothing'"):
                socket.call("nothing")

    async def test_coroutines(self):
        await sync_to_async(self.async_client.force_login)(self.ada)
        async with await SocketClient.aopen(self.async_client) as socket:
            self.assertEqual(await socket.acall("whoami async"), "ada")
            self.assertEqual(await socket.acall("whoami"), "ada")
            pk = await socket.acall("note async", "three")
            self.assertEqual((await Note.objects.aget(pk=pk)).text, "three")
            sockets.emit("news", 1)
            self.assertEqual(socket.take("news"), [Event("news", 1)])


class Commits(TransactionTestCase):
    """Commits for real."""

    def test_what_is_rolled_back_is_not_emitted(self):
        with SocketClient() as socket:
            self.client.get("/fail/never")
            self.assertEqual(socket.take(), [])
            self.client.get("/add/always")
            self.assertEqual([event.name for event in socket.take()], ["adding", "noted"])


class Live(SocketLiveServerTestCase):
    """Serves the project to a published client."""

    def visit(self, path):
        self.client.get(path)
        cookie = "; ".join(f"{name}={each.value}" for name, each in self.client.cookies.items())
        client = socketio.SimpleClient()
        client.connect(self.live_server_url, headers={"Cookie": cookie}, transports=["websocket"], wait_timeout=30)
        self.addCleanup(client.disconnect)
        return client

    def test_a_client_with_a_port(self):
        client = self.visit("/login/ada")
        self.assertEqual(client.call("whoami", timeout=30), "ada")
        client.emit("note", "live")
        self.assertEqual(client.receive(timeout=30)[1]["text"], "live")
        self.assertEqual(Note.objects.get().author, "ada")
        sockets.emit("news", 1)
        self.assertEqual(client.receive(timeout=30), ["news", 1])
        with urllib.request.urlopen(f"{self.live_server_url}/static/notes/site.css", timeout=30) as file:
            self.assertIn(b"teal", file.read())

    def test_each_test_has_an_empty_database(self):
        client = self.visit("/login/ada")
        self.assertEqual(client.call("count", timeout=30), 0)
