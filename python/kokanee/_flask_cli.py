"""`flask run` and `flask kokanee run`: the commands of Flask under Kokanee's own host.

Both are found by the entry points of this package. `flask run` stays that of Flask for an application without the extension, or
whose extension needs another host. Flask imports this for each of its commands, so that the extension is imported by those that
need it.
"""

from __future__ import annotations

import sys
from typing import Any

import click
from flask import cli
from flask.helpers import get_debug_flag

#: Options of Flask's command that have no meaning for this host.
_UNUSED = ("with_threads",)


@click.pass_context
def _run(context: click.Context, /, **given: Any) -> None:
    """Runs a development server.

    Applications with Socket.IO are served by Kokanee's own host, where requests of its clients do not enter Python. The reloader
    and the debugger are enabled by default with the '--debug' option.
    """
    from werkzeug.serving import is_running_from_reloader

    info = context.ensure_object(cli.ScriptInfo)
    try:
        app = info.load_app()
    except Exception:
        # Flask's command shows what is wrong, and watches the files.
        if not is_running_from_reloader():
            raise
        context.invoke(cli.run_command, **given)
        return
    if _is_for_own_host(app.extensions.get("socketio")):
        _serve(info, app, given)
    else:
        context.invoke(cli.run_command, **given)


def _is_for_own_host(extension: Any) -> bool:
    """Returns whether an application has the extension, and its handlers run on threads."""
    module = sys.modules.get("kokanee.flask")
    return module is not None and isinstance(extension, module.SocketIO) and extension.async_mode == "threading"


@click.pass_context
def _run_own(context: click.Context, /, **given: Any) -> None:
    """Runs the application under Kokanee's own host, with all its options."""
    info = context.ensure_object(cli.ScriptInfo)
    _serve(info, info.load_app(), given)


def _serve(info: cli.ScriptInfo, app: Any, given: dict[str, Any]) -> None:
    from .flask import SocketIO, _hosting

    debug = get_debug_flag()
    reload = given.pop("reload")
    debugger = given.pop("debugger")
    patterns = given.pop("exclude_patterns")
    files = given.pop("extra_files")
    # With a key, it is a pair of the two.
    cert = given.pop("cert")
    for name in _UNUSED:
        given.pop(name, None)
    socketio = app.extensions.get("socketio")
    if isinstance(socketio, SocketIO):
        socketio._server_for(app).shows_origins = debug
        if debug if debugger is None else debugger:
            _hosting.add_debugger(socketio, app, given["host"])
    if cert is not None:
        given["certfile"], given["keyfile"] = _hosting.certificate(cert)
    host, port = given.pop("host"), given.pop("port")
    options = _hosting.own_options(host, port, given.pop("access_log", debug), given)
    cli.show_server_banner(debug, info.app_import_path)
    is_reloading = debug if reload is None else reload
    _hosting.serve(app, options, {"extra_files": files, "exclude_patterns": patterns} if is_reloading else None)


#: `flask run`.
run = click.Command("run", params=list(cli.run_command.params), callback=_run, short_help="Run a development server.")

#: Those of Flask's command that this host has, and others of its own.
_PARAMS = [
    *(each for each in cli.run_command.params if each.name not in _UNUSED),
    click.Option(["--workers"], default=1, help="Processes that share the socket."),
    click.Option(["--threads"], default=64, help="Threads for requests, at most."),
    click.Option(["--uds"], help="Listen on a Unix socket with this path, not on host and port."),
    click.Option(["--root-path"], default="", help="The path at which a proxy has mounted the application."),
    click.Option(
        ["--trusted-proxies"], default="", help="Proxies whose X-Forwarded-* is believed, with commas: 10.0.0.0/8, loopback."
    ),
    click.Option(["--graceful-timeout"], default=10.0, help="Seconds that requests may take after SIGTERM."),
    click.Option(["--access-log/--no-access-log"], default=False, help="Log each request."),
]

#: `flask kokanee`.
group = click.Group("kokanee", help="Commands of Kokanee.")
group.add_command(
    click.Command("run", params=_PARAMS, callback=_run_own, short_help="Run the application under Kokanee's host.")
)
