"""The reference page of the metrics, from the metrics themselves.

Must say nothing of its own about a metric: what is wrong here is mended where it is declared.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from controller.agent.metrics import NodeMetrics
from controller.callmetrics import ApiMetrics, EngineMetrics
from controller.manager.metrics import ManagerMetrics
from controller.reconcile.metrics import LaunchMetrics

HEAD = """# Metrics

<!-- Generated from the code by hack/generate; do not edit. -->

Served at `http://CHALLENGE_METRICS_ADDRESS:CHALLENGE_METRICS_PORT/metrics` in Prometheus' text
format, by every role, once `CHALLENGE_METRICS_PORT` is set (the default, 0, serves none). The
address is `127.0.0.1` unless set, which no instance reaches. A port that is taken stops the start
with a message that names it. No label holds the name or uid of an instance, a user or a Challenge.
Beside these there are Prometheus' own `process_*`. [A dashboard for
Grafana](grafana-dashboard.json) shows them.

The same port serves `/healthz`, 200 as long as the process is at work (its event loop turns; an
outage of API server or engine does not count, since no restart would mend it), and `/readyz`, 200
when its roles are ready: an agent whose node is registered, whose engine answers and whose first
comparison is over; a manager that the API server answers, and that acts or stands by. Otherwise
503, and a line for each thing that is missing.

"""
ROLES = (
    (LaunchMetrics, "The agent"),
    (NodeMetrics, "The agent's node"),
    (EngineMetrics, "The agent's engine"),
    (ManagerMetrics, "The manager"),
    (ApiMetrics, "Every role"),
)


def page() -> str:
    """Return the page as Markdown."""
    parts = []
    for declare, role in ROLES:
        registry = CollectorRegistry()
        declare(registry)
        rows = "\n".join(_rows(registry))
        parts.append(
            f"## {role}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}\n"
        )
    return HEAD + "\n".join(parts)


def _rows(registry: CollectorRegistry) -> Iterator[str]:
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in _labels(family))
        yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def _labels(family: Metric) -> list[str]:
    found = {label for sample in family.samples for label in sample.labels}
    return sorted(found - {"le"})
