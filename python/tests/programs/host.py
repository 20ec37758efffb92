"""Runs `wsgi_app.app` on a host: `python host.py NAME`, on `$PORT`; with TLS if `$CERT` names a file."""

import importlib
import os
import sys

name = sys.argv[1]
port = int(os.environ["PORT"])
cert = os.environ.get("CERT")
if name == "eventlet-patched":
    import eventlet

    eventlet.monkey_patch()
elif name.startswith("gevent"):
    from gevent import monkey

    if name != "gevent-unpatched":
        monkey.patch_all()

app = importlib.import_module(os.environ.get("PROGRAM", "wsgi_app")).app

if name.startswith("werkzeug"):
    from werkzeug.serving import run_simple

    context = (cert, cert) if cert else None
    run_simple("127.0.0.1", port, app, threaded=name == "werkzeug", ssl_context=context)
elif name.startswith("eventlet"):
    import eventlet
    import eventlet.wsgi

    listener = eventlet.listen(("127.0.0.1", port))
    if cert:
        listener = eventlet.wrap_ssl(listener, certfile=cert, keyfile=cert, server_side=True)
    eventlet.wsgi.server(listener, app)
elif name.startswith("gevent"):
    from gevent import pywsgi

    options = {"certfile": cert, "keyfile": cert} if cert else {}
    if name == "gevent-websocket":
        from geventwebsocket.handler import WebSocketHandler

        options["handler_class"] = WebSocketHandler
    pywsgi.WSGIServer(("127.0.0.1", port), app, **options).serve_forever()
elif name == "waitress":
    import waitress

    waitress.serve(app, host="127.0.0.1", port=port, threads=2)
elif name == "cheroot":
    from cheroot import wsgi

    server = wsgi.Server(("127.0.0.1", port), app, numthreads=2, request_queue_size=64)
    if cert:
        from cheroot.ssl.builtin import BuiltinSSLAdapter

        server.ssl_adapter = BuiltinSSLAdapter(cert, cert)
    try:
        server.start()
    except KeyboardInterrupt:
        server.stop()
elif name == "wsgiref":
    from wsgiref.simple_server import WSGIServer, make_server

    class Server(WSGIServer):
        request_queue_size = 64

    make_server("127.0.0.1", port, app, Server).serve_forever()
elif name == "socketless":
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Hidden:
        def __init__(self, stream):
            self.read, self.readline = stream.read, stream.readline

    def hidden(environ, start_response):
        environ["wsgi.input"] = Hidden(environ["wsgi.input"])
        return app(environ, start_response)

    make_server("127.0.0.1", port, hidden, Server).serve_forever()
else:
    raise SystemExit(f"unknown host {name}")
