"""A probe's answer is about the service in the container, in bounded time."""

import asyncio
import subprocess
import sys
import threading

import docker
import pytest

from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineUnavailable
from controller.runtime.labels import Owner
from controller.runtime.probes import ExecProbe, ProbeResult, Probes
from hack.bed.bed import Bed
from hack.bed.engine import Engine as BedEngine

# Where the agent probes from: beside the engine, in its network namespace.
_FROM_THE_NODE = """
import asyncio, sys
from controller.runtime.engine import Engine
from controller.runtime.probes import HttpProbe, Probes, TcpProbe
async def main():
    probes = Probes(Engine("unix:///nowhere"))
    for check in (TcpProbe(9000), HttpProbe(8080), HttpProbe(8080, "/no-such-page"), TcpProbe(7)):
        result = await probes.probe(check, container="", address=sys.argv[1], timeout=5)
        print(result.ok, result.message)
asyncio.run(main())
"""


@pytest.fixture
async def container(engine: Engine, owner: Owner, network: str, shell: ContainerPlan) -> str:
    """The name of a running container with a shell."""
    await containers.launch(engine, owner, shell, network)
    return labels.container_name(owner.uid, "shell")


async def _exec(probes: Probes, container: str, script: str, timeout: float = 10.0) -> ProbeResult:
    check = ExecProbe(("bash", "-c", script))
    return await probes.probe(check, container=container, address="", timeout=timeout)


async def test_tcp_and_http_at_the_containers_own_address(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan, bed: Bed
) -> None:
    made = await containers.launch(engine, owner, echo, network)
    address = (await containers.inspect(engine, made)).addresses[network]
    namespace = bed.engine().state.namespace
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    async with asyncio.timeout(120):
        said = ""
        while not said.startswith("True \nTrue \n"):  # until the services listen
            said = await asyncio.to_thread(_probe_from, enter, address)
    assert said.splitlines() == [
        "True ",
        "True ",
        f"False GET http://{address}:8080/no-such-page: HTTP status 404",
        f"False connect to {address}:7: connection refused",
    ]


def _probe_from(enter: list[str], address: str) -> str:
    command = [*enter, sys.executable, "-c", _FROM_THE_NODE, address]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_a_command_that_ends_with_0_is_ready(engine: Engine, container: str) -> None:
    assert await _exec(Probes(engine), container, "exit 0") == ProbeResult(True)


async def test_a_command_that_fails_is_told_with_what_it_said(
    engine: Engine, container: str
) -> None:
    result = await _exec(Probes(engine), container, "echo no database >&2; exit 3")
    assert not result.ok
    assert result.message.endswith(": exit code 3: no database")


async def test_a_command_that_is_not_there_is_told(engine: Engine, container: str) -> None:
    check = ExecProbe(("/no/such",))
    result = await Probes(engine).probe(check, container=container, address="", timeout=10)
    assert not result.ok
    assert "/no/such" in result.message


async def test_output_without_end_is_cut_off(engine: Engine, container: str) -> None:
    result = await _exec(Probes(engine), container, "printf 'x%.0s' {1..50000}; exit 1")
    assert not result.ok
    assert len(result.message) < 2048


@pytest.mark.parametrize("script", ["sleep 30", "while :; do echo x; sleep 0.05; done"])
async def test_a_command_that_hangs_fails_in_time_and_does_not_pile_up(
    script: str, engine: Engine, container: str, api: docker.APIClient
) -> None:
    probes = Probes(engine)
    late = await _exec(probes, container, script, timeout=0.3)
    assert not late.ok
    assert late.message.endswith("not ended within 0.3 s")
    for thread in threading.enumerate():  # the connection was cut, nobody waits on it
        if thread.name == "docker-call":
            await asyncio.to_thread(thread.join, 30)
            assert not thread.is_alive()
    again = await _exec(probes, container, "exit 0")
    assert again.message.endswith("an earlier one has not ended yet")
    # Only the first command and the shell's own.
    assert len(api.top(container)["Processes"]) <= 3
    probes.forget(container)
    assert (await _exec(probes, container, "exit 0")).ok


async def test_a_container_that_is_gone_fails_in_the_engines_words(engine: Engine) -> None:
    result = await _exec(Probes(engine), "chal-none", "exit 0")
    assert not result.ok
    assert "No such container: chal-none" in result.message


async def test_an_engine_that_hangs_under_a_command_is_no_failure_of_the_service(
    bed_engine: BedEngine, container: str, api: docker.APIClient
) -> None:
    hasty = Engine(bed_engine.url, timeout=30.0)
    probe = asyncio.create_task(_exec(Probes(hasty), container, "sleep 333", timeout=8.0))
    while "sleep 333" not in str(await asyncio.to_thread(api.top, container)):
        assert not probe.done(), await probe
    hasty.timeout = 0.5
    bed_engine.freeze()
    try:
        with pytest.raises(EngineUnavailable):
            await probe
    finally:
        bed_engine.thaw()
    await hasty.close()


async def test_an_engine_that_hangs_is_no_failure_of_the_service(
    bed_engine: BedEngine, container: str
) -> None:
    hasty = Engine(bed_engine.url, timeout=0.3)
    await hasty.wait(attempts=100, interval=0.1)
    bed_engine.freeze()
    try:
        with pytest.raises(EngineUnavailable):
            await _exec(Probes(hasty), container, "exit 0", timeout=0.3)
    finally:
        bed_engine.thaw()
    await hasty.close()
