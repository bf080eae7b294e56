"""Beside Django in one process: live streams, and an engine, by one line in `asgi.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

if TYPE_CHECKING:
    from offload.streams.rights_request import Application
    from offload.streams.sse import Event, Receive, Send


class Offload:
    """An ASGI application around Django's that serves streams and runs the jobs beside it.

        application = Offload(get_asgi_application())

    A stream begins as a request to Django, whose middleware and view decide about it; then it
    goes on here, without a thread or a connection to the database.

    The engine starts and stops with the server (ASGI's lifespan); under a server that knows no
    lifespan it starts with the first request.

    Args:
        application: what answers the requests.
        backend: alias in TASKS whose jobs are run here.
        run_jobs: False runs no jobs in this process.
    """

    def __init__(
        self,
        application: Application,
        *,
        backend: str = DEFAULT_TASK_BACKEND_ALIAS,
        run_jobs: bool = True,
    ) -> None:
        # asgi.py imports this module before Django's apps are loaded.
        from offload.live.open_connections import open_connections  # noqa: PLC0415
        from offload.streams.middleware import StreamMiddleware  # noqa: PLC0415
        from offload.worker.embedded import EmbeddedWorker  # noqa: PLC0415

        self._application = StreamMiddleware(application)
        self._engine = EmbeddedWorker(backend) if run_jobs else None
        self._connections = open_connections

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._engine is not None:
            self._engine.start()
        await self._application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the server's life."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start_up(send)
            else:
                self._connections.close_all()
                if self._engine is not None:
                    await sync_to_async(self._engine.stop, thread_sensitive=False)()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start_up(self, send: Send) -> None:
        self._connections.open()
        try:
            if self._engine is not None:
                self._engine.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
