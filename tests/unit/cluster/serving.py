"""An API server's end of the connection that a test answers for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from controller.cluster.client import Cluster

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(answer: Answer, *, patience: float = 0.1) -> AsyncIterator[str]:
    """Where a server listens that answers every request so.

    ``patience`` is in seconds, for requests that are under way at the end.
    """
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=patience)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@asynccontextmanager
async def cluster_of(
    answer: Answer, *, token: str = "", patience: float = 0.1
) -> AsyncIterator[Cluster]:
    """A client of such a server; ``token`` is what it shows, if anything."""
    async with listening(answer, patience=patience) as address:
        configuration = kubernetes_client.Configuration()
        configuration.host = address
        if token:
            configuration.api_key = {"BearerToken": f"Bearer {token}"}
        made = Cluster(kubernetes_client.ApiClient(configuration))
        yield made
        await made.close()
