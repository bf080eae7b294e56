"""ASGI entry point: streams, WebSockets and a worker beside Django, by one line in `asgi.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from offload.streams.authorization import Application
    from offload.streams.sse import Event, Receive, Send


class Offload:
    """ASGI middleware that serves streams and runs jobs in the process of the web server.

        application = Offload(get_asgi_application())

    Django authorizes a stream as any other request. The stream is then served here, without a
    thread or a database connection.

    The worker starts and stops with the server, by ASGI's lifespan. Under a server without
    lifespan it starts with the first request.

    Args:
        application: Django's ASGI application.
        backend: alias in TASKS whose jobs the worker runs.
        run_jobs: whether to start a worker.
    """

    def __init__(
        self,
        application: Application,
        *,
        backend: str = "default",
        run_jobs: bool = True,
    ) -> None:
        # A project's asgi.py imports this module before Django's apps are loaded.
        from offload.live.open_connections import open_connections  # noqa: PLC0415
        from offload.streams.middleware import StreamMiddleware  # noqa: PLC0415
        from offload.worker.embedded import EmbeddedWorker  # noqa: PLC0415

        self._application = StreamMiddleware(application)
        self._worker = EmbeddedWorker(backend) if run_jobs else None
        self._connections = open_connections

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
            return
        if self._worker is not None:
            self._worker.start()
        await self._application(scope, receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        """Start and stop the worker with the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start_up(send)
            else:
                await self._shut_down(send)
                return

    async def _start_up(self, send: Send) -> None:
        self._connections.open()
        try:
            if self._worker is not None:
                self._worker.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})

    async def _shut_down(self, send: Send) -> None:
        self._connections.close_all()
        if self._worker is not None:
            await sync_to_async(self._worker.stop, thread_sensitive=False)()
        await send({"type": "lifespan.shutdown.complete"})
