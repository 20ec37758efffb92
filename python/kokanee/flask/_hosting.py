"""`SocketIO.run` and `SocketIO.stop`: the host that serves an application.

With threads it is Kokanee's own, in which requests for Socket.IO do not enter Python; eventlet and gevent have theirs. While
developing, Werkzeug's reloader runs the program in a child process, and its debugger shows exceptions of routes.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flask

from .. import _run, _serve_options
from .._serve_options import ListenError, Options, StartError, report

if TYPE_CHECKING:
    from ._extension import SocketIO

#: The descriptor of the listening socket, for the child process of the reloader. It is Werkzeug's name, as a child whose
#: application does not load, or has no Socket.IO any more, is served by Werkzeug.
SOCKET = "WERKZEUG_SERVER_FD"

#: Options of Werkzeug's host, which a program may still pass: they have no meaning here.
_OF_WERKZEUG = ("allow_unsafe_werkzeug", "threaded", "processes", "load_dotenv", "passthrough_errors")


def run(socketio: SocketIO, app: flask.Flask, host: str | None, port: int | None, options: dict[str, Any]) -> None:
    """Serves an application; see `SocketIO.run`."""
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        # The command serves it when the module is loaded, as with `app.run`.
        print(" * Ignoring a call of socketio.run(), as this is the `flask` command", file=sys.stderr)
        return
    if host is None:
        host = "127.0.0.1"
    if port is None:
        _, has_port, named = (app.config["SERVER_NAME"] or "").rpartition(":")
        port = int(named) if has_port else 5000
    debug = options.pop("debug", app.debug)
    log_output = options.pop("log_output", debug)
    use_reloader = options.pop("use_reloader", debug)
    reloader_options = dict(options.pop("reloader_options", None) or {})
    extra_files = options.pop("extra_files", None)
    if extra_files:
        reloader_options["extra_files"] = extra_files
    app.debug = debug
    server = socketio._server_for(app)
    server.shows_origins = debug
    mode = server.async_mode
    evalex = options.pop("use_evalex", True)
    if options.pop("use_debugger", debug):
        add_debugger(socketio, app, host, evalex)
    for name in _OF_WERKZEUG:
        options.pop(name, None)
    if mode == "threading":
        own = own_options(host, port, log_output, options)
        serve(app, own, reloader_options if use_reloader else None)
        return
    runner = {"eventlet": _eventlet, "gevent": _gevent}.get(mode)
    if runner is None:
        # The host of uWSGI has been started already.
        return
    serve_forever = runner(socketio, app, host, port, log_output, options)
    if not use_reloader:
        serve_forever()
        return
    if mode == "gevent":
        from gevent import monkey

        monkey.patch_thread()
        monkey.patch_time()
    from werkzeug._reloader import run_with_reloader

    end = _exit_from(mode)
    run_with_reloader(lambda: _end_with(serve_forever, end), **reloader_options)


def add_debugger(socketio: SocketIO, app: flask.Flask, host: str, evalex: bool = True) -> None:
    """Puts Werkzeug's debugger around the application, within what serves Socket.IO, which it does not see."""
    from werkzeug.debug import DebuggedApplication

    outer = socketio._server_for(app).middleware
    if outer is None or isinstance(outer.wsgi_app, DebuggedApplication):
        return
    outer.wsgi_app = DebuggedApplication(outer.wsgi_app, evalex=evalex)
    # Werkzeug 2 trusts all.
    getattr(outer.wsgi_app, "trusted_hosts", []).append(host)


def own_options(host: str, port: int, access_log: bool, options: dict[str, Any]) -> Options:
    """Returns the options of Kokanee's host for those of a call, which may have Werkzeug's names."""
    given = {"host": host, "port": port, "access_log": bool(access_log), **options}
    context = given.pop("ssl_context", None)
    if context is not None:
        given["certfile"], given["keyfile"] = certificate(context)
    return _serve_options.make_options(given)


def certificate(context: Any) -> tuple[str, str]:
    """Returns the files of certificate and key for Werkzeug's `ssl_context`: two paths, or `"adhoc"`."""
    if context == "adhoc":
        import tempfile

        from werkzeug.serving import make_ssl_devcert

        certfile, keyfile = make_ssl_devcert(os.path.join(tempfile.mkdtemp(), "development"))
        return certfile, keyfile
    if isinstance(context, tuple) and len(context) == 2 and context[1] is not None:
        return str(context[0]), str(context[1])
    raise ValueError("ssl_context is (certificate file, key file) or 'adhoc'; the host cannot use an SSLContext")


# Kokanee's own host.


def serve(app: Any, options: Options, reloader_options: dict[str, Any] | None) -> None:
    """Serves an application until a signal or `stop`; with the reloader, in a child process that it starts anew."""
    try:
        if reloader_options is None:
            code = _run.serve(app, options)
        else:
            _serve_reloading(app, options, reloader_options)
            code = 0
    except (StartError, ListenError) as error:
        code = report(error)
    if code:
        raise SystemExit(code)


def _serve_reloading(app: Any, options: Options, reloader_options: dict[str, Any]) -> None:
    from werkzeug._reloader import run_with_reloader
    from werkzeug.serving import is_running_from_reloader

    if is_running_from_reloader():
        listener = socket.socket(fileno=int(os.environ[SOCKET]))
        run_with_reloader(lambda: _serve_in_child(app, options, listener), **reloader_options)
        return
    # The socket stays while the child is replaced, so that no client is refused.
    (listener,) = _run.bind(options)
    listener.set_inheritable(True)
    os.environ[SOCKET] = str(listener.fileno())
    try:
        run_with_reloader(lambda: None, **reloader_options)
    finally:
        os.environ.pop(SOCKET, None)
        _run.unbind(options, [listener])


def _serve_in_child(app: Any, options: Options, listener: socket.socket) -> None:
    def serve_forever() -> None:
        try:
            _run.serve_on(app, options, [listener])
        except (StartError, ListenError) as error:
            report(error)

    _end_with(serve_forever, lambda: os.kill(os.getpid(), signal.SIGTERM))


def _end_with(serve_forever: Callable[[], None], end: Callable[[], None]) -> None:
    """Serves in the child process of the reloader, and ends the process, as its main thread would watch the files on."""
    try:
        serve_forever()
    finally:
        end()


# The hosts of greenlets.

def _exit_from(mode: str) -> Callable[[], None]:
    """Returns a function that ends this greenlet, and the process with it, from another one."""
    green: Any = importlib.import_module(mode)
    main = green.getcurrent()
    return lambda: green.kill(main, SystemExit)


_TLS = (
    *("keyfile", "certfile", "server_side", "cert_reqs", "ssl_version", "ca_certs"),
    *("do_handshake_on_connect", "suppress_ragged_eofs", "ciphers"),
)


def _eventlet(
    socketio: SocketIO, app: flask.Flask, host: str, port: int, log_output: bool, options: dict[str, Any]
) -> Callable[[], None]:
    tls = {name: options.pop(name) for name in _TLS if options.get(name) is not None}

    def serve_forever() -> None:
        import eventlet
        import eventlet.green.socket
        import eventlet.hubs
        import eventlet.wsgi

        family, _, _, _, address = eventlet.green.socket.getaddrinfo(host, port)[0]
        listener = eventlet.listen(address, family)
        # Each thread has a hub of its own.
        serving, hub = eventlet.getcurrent(), eventlet.hubs.get_hub()

        def end() -> None:
            if eventlet.hubs.get_hub() is hub:
                # It takes no connection more, and waits for requests.
                eventlet.kill(serving, SystemExit)
            else:
                os.kill(os.getpid(), signal.SIGINT)

        socketio._end = end
        if tls:
            listener = eventlet.wrap_ssl(listener, **{**tls, "server_side": True})
        eventlet.wsgi.server(listener, app, log_output=log_output, **options)

    return serve_forever


def _gevent(
    socketio: SocketIO, app: flask.Flask, host: str, port: int, log_output: bool, options: dict[str, Any]
) -> Callable[[], None]:
    from gevent import pywsgi

    server = socketio.wsgi_server = pywsgi.WSGIServer(
        (host, port), app, log="default" if log_output else None, **options
    )
    socketio._end = server.stop
    return lambda: server.serve_forever()


# The end.


def stop(socketio: SocketIO) -> None:
    """Ends the host that serves this process; see `SocketIO.stop`."""
    if _run.stop():
        return
    if socketio._end is not None:
        socketio._end()
        return
    if flask.has_app_context() and flask.current_app.testing:
        raise RuntimeError("nothing serves the application of a test, so that stop() would end the test's process")
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        # Its other signals may mean to start anew.
        _after_response(lambda: os.kill(uwsgi.masterpid() or os.getpid(), signal.SIGINT))
    elif "gunicorn" in os.environ.get("SERVER_SOFTWARE", "") and "gunicorn.workers.base" in sys.modules:
        # The worker alone would be replaced.
        os.kill(os.getppid(), signal.SIGTERM)
    elif "mod_wsgi" in sys.modules:
        raise RuntimeError("the processes of mod_wsgi are Apache's, which starts them anew: stop Apache")
    else:
        # As Ctrl-C, which every host handles that a program starts by a call.
        _after_response(lambda: os.kill(os.getpid(), signal.SIGINT))


def _after_response(end: Callable[[], None]) -> None:
    """Ends a host that drops the responses which it has not sent; in a route, when its own one is out."""
    if not flask.has_request_context() or hasattr(flask.request, "sid"):
        end()
        return

    @flask.after_this_request
    def close(response: flask.Response) -> flask.Response:
        response.call_on_close(end)
        return response
