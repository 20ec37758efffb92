"""What a project of `kokanee.django` is told before a client comes, its own tests, and processes that share its clients."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django_site import SITE, Visitor, environment, manage, site
from support import program
from test_django import python  # noqa: F401

pytest.importorskip("django")

SETTINGS = """
from site_settings import *

"""


def check(folder: Path, settings: str = "", deploy: bool = False, **options: Any) -> dict[str, str]:
    """Returns what `manage.py check` finds in the site with other settings: a text for each id."""
    (folder / "other_settings.py").write_text(SETTINGS + settings)
    variables = environment(folder, **options)
    variables["PYTHONPATH"] = f"{folder}:{variables['PYTHONPATH']}"
    variables["DJANGO_SETTINGS_MODULE"] = "other_settings"
    done = manage("check", *(["--deploy"] if deploy else []), **variables)
    found = re.findall(r"\((kokanee\.\w+)\) (.*?)(?=\n\S|\n\n|\Z)", done.stderr, re.S)
    assert "Traceback" not in done.stderr, done.stderr
    return {id: re.sub(r"\s+", " ", text) for id, text in found}


def test_a_site_without_faults(tmp_path: Path) -> None:
    assert check(tmp_path) == {}


def test_an_option_that_is_wrong(tmp_path: Path) -> None:
    from kokanee.django import _conf

    assert check(tmp_path, ping_intervall=3)["kokanee.E001"] == (
        "KOKANEE has the unknown option 'ping_intervall' HINT: did you mean 'ping_interval'?"
    )
    assert _conf.problems({"cors_allowed_origins": 3, "PATH": "x", "threads": 0}) == [
        ("KOKANEE['cors_allowed_origins'] is an origin, a list of origins, '*', or a function of an origin, not 3", None),
        ("KOKANEE has the unknown option 'PATH'", "did you mean 'path'?"),
        ("KOKANEE['threads'] is a number of threads, not 0", None),
    ]
    ((text, _),) = _conf.problems({"namespaces": ["chat"]})
    assert text == "KOKANEE['namespaces'] is a list of namespaces, each of which begins with '/', not ['chat']"
    assert _conf.problems([]) == [("KOKANEE is a dict of options, not []", None)]


MANY_FAULTS = """
INSTALLED_APPS = [name for name in INSTALLED_APPS if name != "kokanee.django"] + ["kokanee.django", "faulty"]
MIDDLEWARE = []
WSGI_APPLICATION = "plain_wsgi.application"
ASGI_APPLICATION = "site_asgi.application"
KOKANEE = {"cors_allowed_origins": ["https://app.example", "app.example"]}
"""
PLAIN_WSGI = """
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
FAULTY = """
from asgiref.sync import sync_to_async
from notes.models import Note

from kokanee.django import sockets


@sockets.on("blocks")
async def blocks(socket):
    await sync_to_async(Note.objects.count)()
    await Note.objects.filter(text="x").acount()
    return Note.objects.filter(text="x").count()


@sockets.on("early")
async def early(event, socket):
    return socket.session["x"]


@sockets.on("anything", namespace="*")
def anything(socket): ...
"""


def test_many_faults(tmp_path: Path) -> None:
    (tmp_path / "plain_wsgi.py").write_text(PLAIN_WSGI)
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "__init__.py").touch()
    (tmp_path / "faulty" / "sockets.py").write_text(FAULTY)
    found = check(tmp_path, MANY_FAULTS, deploy=True)
    assert found["kokanee.W001"] == (
        "manage.py runserver is that of 'django.contrib.staticfiles', which serves no Socket.IO"
        " HINT: put 'kokanee.django' before 'django.contrib.staticfiles' in INSTALLED_APPS"
    )
    assert "MIDDLEWARE has no 'django.contrib.auth.middleware.AuthenticationMiddleware'" in found["kokanee.W002"]
    assert found["kokanee.W004"].startswith(
        "KOKANEE['cors_allowed_origins'] has 'app.example', which is the origin of no page"
    )
    assert "has only other sites, so that the project's own pages cannot connect" in found["kokanee.W005"]
    assert "add the project's own origin, such as 'https://127.0.0.1'" in found["kokanee.W005"]
    # The last of two.
    assert found["kokanee.W006"] == (
        "the handler of 'early' in '/' is a coroutine: socket.session asks the database: use `await socket.asession()` first"
    )
    assert found["kokanee.W008"].startswith("handlers of the namespace '*'")
    assert found["kokanee.W009"].startswith("WSGI_APPLICATION 'plain_wsgi.application' serves no Socket.IO")
    assert set(found) == {f"kokanee.W00{number}" for number in (1, 2, 4, 5, 6, 8, 9)}


def test_all_sites_and_no_handlers(tmp_path: Path) -> None:
    settings = 'INSTALLED_APPS.remove("notes")\nMIDDLEWARE.append("there.is.none")\nurlpatterns, ROOT_URLCONF = [], __name__\nKOKANEE = {"cors_allowed_origins": "*"}\n'
    found = check(tmp_path, settings)
    assert set(found) == {"kokanee.W003", "kokanee.W007"}
    assert "all sites connect with the cookies of their visitors" in found["kokanee.W003"]


def test_the_queries_of_a_coroutine_are_found() -> None:
    from kokanee.django import _coroutines

    async def handler(socket: Any, Note: Any, sync_to_async: Any) -> None:
        await sync_to_async(Note.objects.count)()
        await Note.objects.acount()
        await sync_to_async(lambda: Note.objects.get(pk=1))()
        Note.objects.filter(text="x").first()
        {}.get(1)

    assert _coroutines.faults(handler) == [
        "Note.objects.filter(text='x').first() asks the database: use `await …afirst()`"
    ]


def test_the_tests_of_a_project_run_handlers_in_their_transaction(tmp_path: Path) -> None:
    done = manage("test", **environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert int(re.findall(r"Ran (\d+) tests", done.stderr)[0]) >= 20


@pytest.mark.full
def test_other_versions_of_django(python: str, tmp_path: Path) -> None:
    variables = environment(tmp_path)
    command = [python, str(SITE / "manage.py")]
    for arguments in (["test"], ["migrate", "-v", "0"]):
        done = subprocess.run([*command, *arguments], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, cwd=SITE)
        assert done.returncode == 0, done.stderr
    for options in (["runserver", "{port}"], ["runserver", "--asgi", "--noreload", "{port}"]):
        with program(*command, *options, **variables) as server, Visitor(server.port) as visitor:
            visitor.get("/login/ada")
            client = visitor.connect()
            assert client.call("whoami") == client.call("whoami async") == "ada"
            client.call("note async", "hello")
            assert client.wait_for("noted")[0]["text"] == "hello"
            assert "teal" in visitor.get("/static/notes/site.css")


def test_a_live_server_needs_a_database_that_threads_share(tmp_path: Path) -> None:
    done = manage("test", "notes.tests.Live", **{**environment(tmp_path), "TEST_DATABASE": ":memory:"})
    assert done.returncode != 0
    assert "set DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}" in done.stderr


def test_a_handler_that_can_never_be_called() -> None:
    from kokanee.django import Sockets

    registry = Sockets()
    with pytest.raises(TypeError, match=r"a handler of 'connect' is called as connect\(socket, auth\) or connect\(socket\)"):
        registry.on("connect", lambda: None)
    with pytest.raises(TypeError, match=r"'say' is called as say\(socket, …\), but this one is .*\(\)"):
        registry.on("say", lambda: None)
    with pytest.raises(TypeError, match=r"is called as \*\(event, socket, …\)"):
        registry.on("*", lambda socket: None)
    with pytest.raises(ValueError, match="a namespace begins with '/': 'chat'"):
        registry.namespace("chat")
    registry.on("say", lambda socket, text, *more: None)
    assert set(registry.handlers["/"]) == {"say"}


def test_a_class_that_can_never_be_called() -> None:
    from kokanee.django import Sockets, SocketView, _coroutines

    registry = Sockets()

    class Chat(SocketView):
        room = "lobby"

        def on_connect(self) -> None: ...

    class Empty(SocketView):
        def say(self, socket: Any) -> None: ...

    class Early(Chat):
        async def on_connect(self, socket: Any) -> None:  # type: ignore[override]
            self.room = self.socket.user

        def on_say(self, *args: Any) -> None: ...

    with pytest.raises(TypeError, match=r"called as connect\(socket, auth\) or connect\(socket\), but this one is .*Chat.on_connect\(\)"):
        registry.register("/chat", Chat)
    with pytest.raises(TypeError, match="Empty has no method such as on_connect"):
        registry.register("/chat")(Empty)
    with pytest.raises(TypeError, match="Early has no option 'rom': options are attributes of the class"):
        registry.register("/chat", Early, rom="tea")
    with pytest.raises(TypeError, match="is not a class that is made of SocketView"):
        registry.register("/chat", object)  # type: ignore[type-var]
    assert not registry.handlers
    assert registry.namespace("/chat").register(Early) is Early
    assert set(registry.handlers["/chat"]) == {"connect", "say"}
    declared = registry.handlers["/chat"]["connect"]
    assert declared.is_async and declared.arity == 1
    assert _coroutines.faults(declared.function) == ["socket.user asks the database: use `await socket.auser()` first"]


GREEN = """
from kokanee.django import sockets


@sockets.event
def whoami(socket):
    return socket.user.get_username()


@sockets.event
def later(socket):
    return socket.call("question", "ready?", timeout=20)
"""


def test_greenlets_run_functions_and_refuse_coroutines(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    variables = environment(tmp_path, async_mode="gevent")
    done = manage("shell", "-c", "import kokanee.django.wsgi as it; it.application", **variables)
    assert "is a coroutine, and with async_mode='gevent' greenlets run functions only: make it a function" in done.stderr
    (tmp_path / "other_settings.py").write_text(SETTINGS + "INSTALLED_APPS[-1:] = ['green']\nROOT_URLCONF = 'green.urls'\n")
    (tmp_path / "green").mkdir()
    for name, text in (("__init__", ""), ("sockets", GREEN), ("urls", "urlpatterns = []")):
        (tmp_path / "green" / f"{name}.py").write_text(text)
    variables["PYTHONPATH"] = f"{tmp_path}:{variables['PYTHONPATH']}"
    variables["DJANGO_SETTINGS_MODULE"] = "other_settings"
    with site("gevent", variables) as server, Visitor(server.port) as visitor:
        one, two = visitor.connect(), visitor.connect(transport="polling")
        assert one.call("whoami") == two.call("whoami") == ""
        assert one.call("later") == two.call("later") == "ready? yes"


GUIDE = Path(__file__).parent.parent.parent / "docs" / "python-django.md"
GUIDE_SETTINGS = """
from site_settings import *

INSTALLED_APPS = [*INSTALLED_APPS[:-1], "chat", "lounge"]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
GUIDE_URLS = """
from chat import more, views
from django.urls import path

urlpatterns = [path("announce/<text>", views.announce)]
"""


def test_the_project_of_the_guide(tmp_path: Path) -> None:
    text = re.sub(r"^   (?=\S| )", "", GUIDE.read_text(), flags=re.M)
    files = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.S))
    assert len(files) == 10 and text.count("```python") == 10
    files |= {"project/settings.py": GUIDE_SETTINGS, "project/urls.py": GUIDE_URLS}
    for name in ("project/__init__.py", "chat/__init__.py", "lounge/__init__.py"):
        files[name] = ""
    for name, program in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(program)
    variables = environment(tmp_path)
    variables["PYTHONPATH"] = f"{tmp_path}:{variables['PYTHONPATH']}"
    variables["DJANGO_SETTINGS_MODULE"] = "project.settings"
    done = manage("check", "--deploy", **variables)
    assert done.returncode == 0 and "kokanee" not in done.stderr, done.stderr
    done = manage("test", "chat", **variables)
    assert done.returncode == 0 and "Ran 3 tests" in done.stderr, done.stderr


def test_the_guide_names_all_checks_and_options() -> None:
    from kokanee.django import _conf

    text = GUIDE.read_text()
    checks = (Path(_conf.__file__).parent / "checks.py").read_text()
    known = set(re.findall(r'id="kokanee\.([EW]\d+)"', checks))
    assert known == set(re.findall(r"\b([EW]00\d)\b", text))
    assert all(f"| `{name}` |" in text for name in _conf.OWN)
