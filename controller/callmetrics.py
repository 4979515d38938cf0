"""What calls to the API server and to the engine cost, as Prometheus metrics.

Labelled by kind of call, of which there are a few dozen; never by object.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from controller.cluster import calls as api
from controller.runtime import calls as engine

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histograms' buckets: most calls take some milliseconds, and 30 s is the longest
wait for an answer of the API server."""


class ApiMetrics:
    """The requests of one process to the API server, watches among them."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry they are counted, and shown to nobody."""
        registry = registry or CollectorRegistry()
        self._requests = Counter(
            "challenge_api_requests",
            "Requests to the API server, by verb, resource and result: ok, refused (4xx), or "
            "unavailable (no answer, 429 or 5xx).",
            ["verb", "resource", "result"],
            registry=registry,
        )
        self._duration = Histogram(
            "challenge_api_request_duration_seconds",
            "Time of a request to the API server until its answer; of a watch, until it begins.",
            ["verb", "resource"],
            buckets=SECONDS,
            registry=registry,
        )

        for kind in (
            ("get", "leases"),
            ("update", "leases"),
            ("update", "challengeinstances/status"),
        ):
            self._requests.labels(*kind, "ok")
            self._duration.labels(*kind)

    def observe(self, verb: str, resource: str, result: api.Result, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(verb, resource, result).inc()
        self._duration.labels(verb, resource).observe(seconds)


class EngineMetrics:
    """The requests of one agent to its engine."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry they are counted, and shown to nobody."""
        registry = registry or CollectorRegistry()
        self._calls = Counter(
            "challenge_engine_calls",
            "Requests to the Docker engine, by kind and result: ok, refused, or unavailable (no "
            "answer).",
            ["call", "result"],
            registry=registry,
        )
        self._duration = Histogram(
            "challenge_engine_call_duration_seconds",
            "Time of a request to the Docker engine until its answer begins.",
            ["call"],
            buckets=SECONDS,
            registry=registry,
        )

        for call in ("container_create", "container_start", "container_remove", "network_create"):
            self._calls.labels(call, "ok")
            self._duration.labels(call)

    def observe(self, call: str, result: engine.Result, seconds: float) -> None:
        """A request has been answered, or has failed; may be called by any thread."""
        self._calls.labels(call, result).inc()
        self._duration.labels(call).observe(seconds)
