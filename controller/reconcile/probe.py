"""Probe: every container serves, at its own address.

Not at its host port: docker-proxy accepts a connection there whether anything listens or not.
"""

from controller.api import reasons
from controller.api.container import Container
from controller.api.probe import Probe
from controller.api.template import probe_port
from controller.reconcile.readiness import Target
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime.containers import ContainerState
from controller.runtime.probes import Check, ExecProbe, HttpProbe, TcpProbe

DEFAULT_PROBE = Probe.model_construct(period_seconds=10, timeout_seconds=2, failure_threshold=3)
"""The timings of a container that names no probe: a TCP connection to each TCP port of it."""
FIRST_PATIENCE = 0.5
"""Seconds to wait for the first verdict after a launch: most services answer by then, and one
status is written instead of two."""


async def probe(work: Work) -> Result:
    """Wait until the probes of all containers have succeeded."""
    states = {state.container: state for state in work.containers}
    targets = [_target(c, states[c.name]) for c in work.template.containers if c.name in states]
    readiness = work.services.readiness
    believed = {status.name for status in work.status.containers if status.ready}
    readiness.watch(work.uid, targets, believed)
    if work.just_launched:
        await readiness.first(work.uid, FIRST_PATIENCE)
    ready = readiness.ready(work.uid)
    for status in work.status.containers:
        status.ready = ready.get(status.name, False)
    if failing := readiness.failing(work.uid):
        decided = readiness.decided(work.uid)
        if not decided:
            return Waiting(reasons.PROBE_PENDING, "Waiting for the first answer of the containers")
        return Waiting(reasons.PROBE_FAILING, "; ".join(failing))
    return DONE


def _target(container: Container, state: ContainerState) -> Target:
    wanted = container.readiness_probe or DEFAULT_PROBE
    return Target(
        container=container.name,
        engine_name=state.name,
        address=next(iter(state.addresses.values()), ""),
        checks=_checks(container),
        initial_delay=float(wanted.initial_delay_seconds),
        period=float(wanted.period_seconds),
        timeout=float(wanted.timeout_seconds),
        success_threshold=wanted.success_threshold,
        failure_threshold=wanted.failure_threshold,
    )


def _checks(container: Container) -> tuple[Check, ...]:
    wanted = container.readiness_probe
    if wanted is None:
        return tuple(TcpProbe(p.container_port) for p in container.ports if p.protocol == "TCP")
    if wanted.tcp_socket:
        return (TcpProbe(probe_port(container, wanted.tcp_socket.port)),)
    if http := wanted.http_get:
        headers = {header.name: header.value for header in http.http_headers}
        port = probe_port(container, http.port)
        return (HttpProbe(port, http.path, http.scheme, headers),)
    return (ExecProbe(tuple(wanted.exec.command if wanted.exec else ())),)
