"""Hosts that are started by a program: `hosts.py HOST PORT`."""

from __future__ import annotations

import importlib
import os
import sys

#: The module whose `app` is served.
PROGRAM = os.environ.get("PROGRAM", "sync_app")


def main(host: str, port: int) -> None:
    """Serves the program until the process ends."""
    if host == "eventlet":
        import eventlet

        eventlet.monkey_patch()
        app = importlib.import_module(PROGRAM).app
        import eventlet.wsgi

        eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port), backlog=1024), app, max_size=20_000, log_output=False)
    elif host == "gevent":
        from gevent import monkey

        monkey.patch_all()
        app = importlib.import_module(PROGRAM).app
        from gevent import pywsgi

        options = {}
        if os.environ["LIBRARY"] == "socketio":
            # Without it, python-socketio has no WebSocket there.
            from geventwebsocket.handler import WebSocketHandler

            options["handler_class"] = WebSocketHandler
        pywsgi.WSGIServer(("127.0.0.1", port), app, log=None, backlog=1024, **options).serve_forever()
    else:
        import logging

        from werkzeug.serving import run_simple

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app = importlib.import_module(PROGRAM).app
        run_simple("127.0.0.1", port, app, threaded=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
