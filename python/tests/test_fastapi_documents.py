"""What `kokanee.fastapi` says of its events: AsyncAPI, TypeScript and the page; and published clients of such an application."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from socketio import Client
from support import INTEROP, PROGRAMS, javascript, program, run

from kokanee.fastapi import Socket, SocketIO, SocketRouter

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parent
HOSTS = {
    "uvicorn": [str(BIN / "uvicorn"), "--port", "{port}", "--app-dir", str(PROGRAMS), "fastapi_shop:app"],
    "own": [
        *(sys.executable, "-m", "kokanee", "serve", "--port", "{port}", "--app-dir", str(PROGRAMS)),
        "fastapi_shop:app",
    ],
}


def get(port: int, path: str) -> str:
    """Returns the content of a page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
        text: str = response.read().decode()
        return text


@pytest.mark.parametrize("host", HOSTS)
def test_javascript_clients_talk_to_the_application(host: str) -> None:
    missing = {"type": "missing", "loc": ["auth"], "msg": "Field required"}
    with program(*HOSTS[host]) as server:
        assert get(server.port, "/") == '"shop"'
        for transport in ("polling", "websocket"):
            seen = javascript("shop.mjs", server.port, transport)
            invalid = seen.pop("invalid")["error"]
            assert [invalid["status"], invalid["detail"][0]["loc"]] == [422, ["args", 0, "text"]]
            failed = seen.pop("failed")
            assert [failed["event"], failed["status"], failed["detail"][0]["loc"]] == ["add", 422, ["args", 0]]
            refused = seen.pop("staff")
            assert refused[0][1]["detail"] in ([missing], [{**missing, "loc": ["auth", "token"]}])
            assert refused[1:] == [["wrong ticket", {"status": 403, "detail": "wrong ticket"}], "black"]
            assert seen == {
                "news": ["fresh", 1, [255]],
                "order": [7, "tea", "black", [0, 255]],
                "add": 2,
                "asked": True,
                "words": [1, [1, 2]],
            }


def test_the_asyncapi_document_is_valid_and_says_what_there_is() -> None:
    with program(*HOSTS["uvicorn"]) as server:
        seen = javascript("asyncapi.mjs", server.port, "/asyncapi.json")
        assert "/asyncapi.json" not in get(server.port, "/openapi.json")
    assert seen["problems"] == [] and seen["references"] > 40
    document = seen["document"]
    assert document["info"] == {"title": "Shop", "version": "2.1.0", "description": "Sells *tea*."}
    assert document["servers"]["default"]["host"] == f"127.0.0.1:{server.port}"
    assert {id: channel["address"] for id, channel in document["channels"].items()} == {
        "root": "/",
        "v1-staff-only": "/v1/staff-only",
    }
    operation = document["operations"]["root.receive.order"]
    assert operation["action"] == "receive" and operation["description"] == "Orders something."
    assert operation["messages"] == [{"$ref": "#/channels/root/messages/order"}]
    assert [each["$ref"].rsplit("/", 1)[1] for each in operation["reply"]["messages"]] == ["order.answer", "failed"]
    messages = document["channels"]["root"]["messages"]
    assert messages["order"]["payload"]["$ref"] == "#/components/schemas/Order-Input"
    assert messages["order.answer"]["payload"]["$ref"] == "#/components/schemas/Receipt"
    assert messages["many_words"]["name"] == "many words"
    assert messages["many_words"]["payload"]["additionalItems"] == {"type": "string", "format": "binary"}
    schemas = document["components"]["schemas"]
    # In the words of draft 7 and of AsyncAPI, which differ from Pydantic's.
    order = schemas["Order-Input"]["properties"]
    assert order["pet"]["discriminator"] == "kind"
    assert [each["type"] for each in order["pair"]["items"]] == ["integer", "string"]
    assert document["operations"]["root.send.news.emitted"]["action"] == "send"
    security = document["components"]["securitySchemes"]
    assert security["HTTPBearer"] == {"type": "http", "scheme": "bearer"}
    assert security["APIKeyCookie"] == {"type": "httpApiKey", "in": "cookie", "name": "key"}
    assert security["OAuth2PasswordBearer"]["flows"]["password"] == {
        "tokenUrl": f"http://127.0.0.1:{server.port}/token",
        "availableScopes": {"read": "Reads"},
    }
    needed = document["operations"]["v1-staff-only.receive.who"]["security"]
    assert [each["$ref"].rsplit("/", 1)[1] for each in needed] == ["HTTPBearer", "APIKeyCookie"]
    assert "security" not in operation
    assert document["channels"]["v1-staff-only"]["x-auth"] == {"$ref": "#/components/schemas/Ticket"}


EVERYTHING = {
    "colour": "red", "size": 2, "pet": {"kind": "dog", "tags": ["a"]}, "needed": None, "counts": {"a": 1}, "by_colour": {"blue": [1]},
    "moment": {"at": "2030-01-02T00:00:00Z", "day": "2030-01-02", "took": "PT1S", "id": "00000000-0000-0000-0000-000000000001", "price": "1.50"},
    "pair": [1, "a"], "many": [1, 2], "anything": {"a": [None]}, "literal": "a", "content": b"1", "mixed": ["a", None],
    "json_text": "[1]", "secret": "s", "named": [1, "y"],
}  # fmt: skip


def test_types_of_all_kinds_are_documented_as_they_are_sent() -> None:
    command = [each.replace("fastapi_shop", "fastapi_types") for each in HOSTS["own"]]
    with program(*command) as server:
        seen = javascript("asyncapi.mjs", server.port, "/asyncapi.json")
        assert seen["problems"] == []
        client = Client(reconnection=False)
        moved: list[Any] = []
        client.on("moved", lambda *args: moved.append(args))
        client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"])
        call = partial(client.call, timeout=30)
        answer = call("everything", EVERYTHING)
        assert answer == {**EVERYTHING, "optional": None, "json_text": [1], "secret": "**********"}
        page = call("pages", ({"items": [{"kind": "cat"}]}, {"items": [{"items": [1]}]}))
        assert page == {"items": [{"kind": "dog", "tags": []}], "next": None}
        wrong = call("pages", ({"items": [{"kind": "cat"}]}, {"items": [{"items": ["a"]}]}))
        assert [each["loc"] for each in wrong["error"]["detail"]] == [["args", 1, "items", 0, "items", 0]]
        assert call("pets", ({"kind": "cat"}, {"kind": "dog"})) == {"kind": "cat", "lives": 9}
        wrong = call("pets", {"kind": "fish"})
        assert wrong["error"]["detail"][0]["type"] == "union_tag_invalid"
        assert call("named", {"myField": 1, "inName": "abc"}) == {"myField": 1, "outName": "abc", "length": 3}
        given = ({"a": 1, "more": "b"}, [1], {"a": 1}, {"a": 1, "b": None}, "2030-01-02T00:00:00Z")
        assert call("others", given) == given
        assert call("maybe", (None,)) is None and call("maybe", 5) == 5 and call("nothing") is None
        assert call("emit") is None
        assert moved == [({"items": [{"kind": "cat", "lives": 9}], "next": None}, None, "2030-01-02T00:00:00Z")]
        client.disconnect()
    schemas = seen["document"]["components"]["schemas"]
    out = schemas["Everything-Output"]
    # As all fields are sent, all are required.
    assert set(out["required"]) == {*answer}
    assert "optional" not in schemas["Everything-Input"]["required"] and "needed" in schemas["Everything-Input"]["required"]
    assert out["properties"]["pet"]["discriminator"] == "kind"
    assert schemas["Colour"] == {"enum": ["red", "blue"], "title": "Colour", "type": "string"}
    assert schemas["Size"]["enum"] == [1, 2]
    assert out["properties"]["needed"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert schemas["Moment-Output"]["properties"]["at"]["format"] == "date-time"
    messages = seen["document"]["channels"]["root"]["messages"]
    assert messages["pages.answer"]["payload"] == {"$ref": "#/components/schemas/Page_Dog_"}
    assert messages["maybe.answer"]["payload"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert messages["others.answer"]["payload"]["items"][1]["$ref"] == "#/components/schemas/Numbers"


@pytest.mark.parametrize(
    ("app", "script", "declaration"), [("fastapi_shop:app", "shop.ts", "shop-events.d.ts"), ("fastapi_types:app", "types.ts", "events.d.ts")]
)
def test_typescript_accepts_what_is_right_and_nothing_else(app: str, script: str, declaration: str, tmp_path: Path) -> None:
    done = run(
        *(sys.executable, "-m", "kokanee", "typescript", app), *("--app-dir", str(PROGRAMS), "-o", str(tmp_path / declaration))
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / script).write_text((TESTS / "js" / script).read_text())
    (tmp_path / "node_modules").symlink_to(INTEROP / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    modules = {"module": "nodenext", "moduleResolution": "nodenext", "types": [], "skipLibCheck": True}
    options = {"noEmit": True, "strict": True, "target": "es2022", **modules}
    files = [script, declaration]
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": files}))
    compiler = INTEROP / "node_modules" / "typescript" / "bin" / "tsc"
    checked = subprocess.run(
        ["node", str(compiler)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + (tmp_path / declaration).read_text()


def test_the_declaration_is_printed_and_served() -> None:
    printed = run(sys.executable, "-m", "kokanee", "typescript", "fastapi_shop:sio", "--app-dir", str(PROGRAMS))
    assert printed.returncode == 0 and "export interface ClientToServerEvents {" in printed.stdout
    with program(*HOSTS["own"]) as server:
        assert get(server.port, "/asyncapi.d.ts") == printed.stdout
    wrong = run(sys.executable, "-m", "kokanee", "typescript", "fastapi_shop:Order", "--app-dir", str(PROGRAMS))
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "kokanee: fastapi_shop:Order is not a SocketIO of kokanee.fastapi, nor an application with one\n"
    )


def test_the_page_shows_events_and_loads_nothing_else() -> None:
    with program(*HOSTS["own"]) as server:
        page = get(server.port, "/asyncdocs")
    for text in ("<title>Shop: events</title>", "many words", "client → server", "Says what is new.", "/v1/staff-only"):
        assert text in page
    assert "<script" not in page and "src=" not in page and "http" not in page
    assert '<a href="#OrderInput">OrderInput</a>' in page and '<pre id="OrderInput">' in page


def test_an_application_without_openapi_has_no_documents() -> None:
    def paths(app: FastAPI) -> set[str]:
        return {getattr(route, "path", "") for route in app.routes} & {"/asyncapi.json", "/asyncdocs", "/asyncapi.d.ts", "/x"}

    hidden = FastAPI(openapi_url=None)
    SocketIO(hidden)
    assert paths(hidden) == set()
    chosen = FastAPI()
    SocketIO(chosen, asyncapi_url="/x", typescript_url=None)
    assert paths(chosen) == {"/x", "/asyncdocs"}


def test_names_that_are_not_identifiers_are_unambiguous() -> None:
    sio = SocketIO(error_event=None)
    for namespace in ("/a-b", "/a/b", "/a_b"):
        router = SocketRouter(namespace)
        for event in ("x y", "x/y", "x-y"):
            router.emits(event, int)

            @router.on(event)
            async def handler(data: int) -> int:
                return data

        sio.include_router(router)
    document = sio.asyncapi()
    assert sorted(channel["address"] for channel in document["channels"].values()) == ["/a-b", "/a/b", "/a_b"]
    for channel in document["channels"].values():
        names = [message["name"] for message in channel["messages"].values()]
        assert [names.count(name) for name in ("x y", "x/y", "x-y")] == [2, 2, 2]
    text = sio.typescript()
    interfaces = [line for line in text.splitlines() if line.startswith("export interface")]
    assert len(interfaces) == len(set(interfaces)) and text.count('"x/y": ') == 6
    json.dumps(document)


def test_what_is_registered_later_is_shown() -> None:
    sio = SocketIO()
    router = SocketRouter("/later")
    sio.include_router(router)
    assert sio.asyncapi()["channels"] == {}

    @router.on("first")
    async def first() -> int:
        return 1

    assert "first: (callback: (answer: number | EventError)" in sio.typescript()

    @router.on("first")
    async def second() -> str:
        return ""

    router.emits("news", int)
    assert "first: (callback: (answer: string | EventError)" in sio.typescript()
    assert "later.send.news.emitted" in sio.asyncapi()["operations"]


def test_the_programs_of_the_guide_register_what_they_show() -> None:
    text = (TESTS.parent.parent / "docs" / "python-fastapi.md").read_text()
    space: dict[str, Any] = {"__name__": "main"}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(block, "python-fastapi.md", "exec"), space)
    sio = space["sio"]
    assert {"message", "upload", "join", "delete everything"} <= set(sio.handlers)
    assert set(sio.events) == {"posted", "ticked", "confirm"}
    assert "/staff" in sio.typescript()
    for name in re.findall(r"`(?:sio|SocketIO)\.(\w+)", text):
        assert hasattr(SocketIO, name), name
    for name in re.findall(r"`socket\.(\w+)`", text):
        assert hasattr(Socket, name) or name == "event", name
