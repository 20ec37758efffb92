"""Runs `async_matrix.py` within an application of aiohttp, Tornado or Sanic. Usage: async_host.py HOST"""

import asyncio
import os
import sys

from async_matrix import sio, socketio

host, port = sys.argv[1], int(os.environ["PORT"])


def ready():
    print("READY", flush=True)


def run_aiohttp():
    from aiohttp import web

    app = web.Application()

    async def page(request):
        return web.Response(text="page")

    app.router.add_get("/page", page)
    sio.attach(app)

    async def start(app):
        asyncio.get_running_loop().call_later(0.1, ready)

    app.on_startup.append(start)
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=1)


def run_tornado():
    import tornado.web

    class Page(tornado.web.RequestHandler):
        def get(self):
            self.write("page")

    async def main():
        handler = socketio.get_tornado_handler(sio)
        app = tornado.web.Application([(r"/page", Page), (r"/socket.io/", handler)])
        app.listen(port, "127.0.0.1")
        ready()
        await asyncio.Event().wait()

    asyncio.run(main())


def run_sanic():
    from sanic import Sanic
    from sanic.response import text

    app = Sanic("matrix")
    app.config.CORS_SUPPORTS_CREDENTIALS = True

    @app.get("/page")
    async def page(request):
        return text("page")

    @app.after_server_start
    async def start(app):
        # When its loop runs for good.
        asyncio.get_running_loop().call_later(0.5, ready)

    sio.attach(app)
    app.run("127.0.0.1", port, single_process=True, motd=False, access_log=False)


globals()[f"run_{host}"]()
