"""Serves an application of either kind on `$PORT`: of ASGI with uvicorn, of WSGI with Werkzeug."""

import os


def serve(app, is_async, log_level="warning"):
    port = int(os.environ["PORT"])
    if is_async:
        import uvicorn

        uvicorn.run(app, host="127.0.0.1", port=port, log_level=log_level)
    else:
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", port, app, threaded=True)
