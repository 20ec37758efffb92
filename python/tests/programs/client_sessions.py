"""What clients take from sessions, and how they trust servers: `python client_sessions.py URL TRANSPORTS`, with `$CERTIFICATE`.

The URL is that of client_server.py, with TLS if it begins with https. Prints what was seen as a line of JSON. See client_kind.py.
"""

import json
import os
import ssl
import sys

from client_kind import IS_ASYNC, Client, do, errors, handler, main, show

if IS_ASYNC:
    import aiohttp
else:
    import requests

URL, TRANSPORTS = sys.argv[1], sys.argv[2].split(",")
CERTIFICATE = os.environ.get("CERTIFICATE", "")
PROXY = os.environ.get("PROXY", "")
seen = {}
answers = {}


async def attempt(name, client, **options):
    """Connects, and notes whether that worked."""
    calls = []
    client.on("connect_error", lambda *args: calls.append(len(args)))
    try:
        await do(client.connect(f"{URL}?scenario={name}", transports=TRANSPORTS, wait_timeout=10, **options))
    except errors.ConnectionError as error:
        seen[name] = ["refused", calls]
        answers[name] = str(error)
    else:
        seen[name] = [show(await do(client.call("echo", name))), calls]
        await do(client.disconnect())


def new(**options):
    return Client(reconnection=False, handle_sigint=False, **options)


async def with_sessions():
    if IS_ASYNC:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(
            cookie_jar=jar, cookies={"first": "1"}, headers={"X-Test": "of the session", "Authorization": "Bearer s"}
        ) as session:
            await attempt("session", new(http_session=session))
            await attempt("session_and_headers", new(http_session=session), headers={"X-Test": "of the call"})

            if TRANSPORTS == ["websocket"]:
                options = {"headers": {"X-Test": "of the options"}}
                await attempt("options", new(websocket_extra_options=options))
            seen["still open"] = not session.closed
        made = []

        @handler
        async def factory():
            made.append(aiohttp.ClientSession(headers={"X-Test": "made"}))
            return made[-1]

        await attempt("session_of_a_function", new(http_session=factory))
        seen["made"] = len(made)
        # What a client has made, it closes.
        seen["closed"] = [session.closed for session in made]
    else:
        session = requests.Session()
        session.cookies.set("first", "1")
        session.auth = ("user", "pass")
        await attempt("session", new(http_session=session))
        await attempt("session_and_headers", new(http_session=session), headers={"X-Test": "of the call"})
        if TRANSPORTS == ["websocket"]:
            # On polling, requests sends only one of them.
            await attempt("session_and_a_cookie", new(http_session=session), headers={"Cookie": "second=2"})
            options = {"header": {"X-Test": "of the options"}, "timeout": 10}
            await attempt("options", new(websocket_extra_options=options))
        await attempt("session_of_a_function", new(http_session=lambda: session))


async def with_tls():
    await attempt("not_trusted", new())
    await attempt("not_verified", new(ssl_verify=False))
    context = ssl.create_default_context(cafile=CERTIFICATE)
    if IS_ASYNC:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            await attempt("trusted", new(http_session=session))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
            await attempt("session_not_verified", new(http_session=session))
    else:
        session = requests.Session()
        session.verify = CERTIFICATE
        await attempt("trusted", new(http_session=session))
        session = requests.Session()
        session.verify = False
        await attempt("session_not_verified", new(http_session=session))
        if TRANSPORTS == ["websocket"]:
            await attempt("options_trusted", new(websocket_extra_options={"sslopt": {"ca_certs": CERTIFICATE}}))


async def with_a_proxy():
    if not IS_ASYNC:
        session = requests.Session()
        session.proxies = {"http": PROXY, "https": PROXY}
        await attempt("proxy", new(http_session=session))
    elif TRANSPORTS == ["websocket"]:
        await attempt("proxy", new(websocket_extra_options={"proxy": PROXY}))


async def everything():
    if PROXY:
        await with_a_proxy()
    elif URL.startswith("https"):
        await with_tls()
    else:
        await with_sessions()
    print(json.dumps({"seen": seen, "answers": answers}))


main(everything())
