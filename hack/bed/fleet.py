"""Several nodes as one: an engine and an agent for each, one manager, and what may befall them.

`hack/dev up --nodes` makes a fleet, and the tests on several nodes break it. Each node has a range
of ports of its own, so that a mix-up of two nodes shows.
"""

from collections.abc import Mapping

from hack.bed import network
from hack.bed.bed import Bed
from hack.bed.controllers import PROGRAM
from hack.bed.errors import BedError
from hack.bed.foreign import PORTS
from hack.bed.network import NetworkState
from hack.bed.running import RunningController

MOST_NODES = 10
MANAGER = "manager"


def agent_name(number: int) -> str:
    """The name of the agent of a node, of its log and of its state."""
    return f"agent-{number}"


def start_nodes(
    bed: Bed, count: int, *, daemons: Mapping[int, Mapping[str, object]] | None = None
) -> None:
    """Start engines for nodes 1 to `count`, with the demo image on each.

    `daemons` has entries of daemon.json for some of them, by their numbers.
    """
    for number in range(1, count + 1):
        first = 10000 + PORTS * (number - 1)
        ports, daemon = f"{first}-{first + PORTS - 1}", (daemons or {}).get(number)
        bed.start_engine(number, ports=ports, daemon=daemon)
        bed.import_image(number)


class Fleet:
    """The nodes of a bed with their agents and managers, by name; `env` is for all of these."""

    def __init__(
        self, bed: Bed, env: Mapping[str, str] | None = None, *, module: str = PROGRAM
    ) -> None:
        self.bed = bed
        self._module = module
        self.controllers: dict[str, RunningController] = {}
        self._env = dict(env or {})

    @property
    def numbers(self) -> list[int]:
        """The numbers of the nodes."""
        return [node.number for node in self.bed.state.nodes]

    @property
    def manager(self) -> RunningController:
        """The first manager."""
        return self.controllers[MANAGER]

    def agent(self, number: int) -> RunningController:
        """The agent of a node."""
        return self.controllers[agent_name(number)]

    def start(self) -> None:
        """Start a manager and the agent of each node, and wait until all of them serve."""
        started = [self.start_manager(), *(self.start_agent(number) for number in self.numbers)]
        for controller in started:
            controller.wait_until_serving()

    def start_manager(
        self, name: str = MANAGER, env: Mapping[str, str] | None = None
    ) -> RunningController:
        """Start a manager on this machine, beside those that run; `env` adds to the fleet's."""
        return self._start(name, "manager", None, env)

    def start_agent(
        self, number: int, env: Mapping[str, str] | None = None, *, name: str = ""
    ) -> RunningController:
        """Start the agent of a node with the state that it had; another `name` is a second one."""
        return self._start(name or agent_name(number), "agent", number, env)

    def cut(self, *numbers: int) -> None:
        """Cut nodes off from API server, players and each other; their engines run on."""
        for number in numbers:
            network.set_link(self._links(), number, up=False)

    def join(self, *numbers: int) -> None:
        """Undo `cut`."""
        for number in numbers:
            network.set_link(self._links(), number, up=True)

    def heal(self) -> None:
        """Have everything as `start` made it: links, engines, one manager, an agent a node.

        Who runs with other settings is started again, and who was added is stopped.
        """
        self.join(*self.numbers)
        for controller in self.controllers.values():
            controller.thaw()
        for number in self.numbers:
            engine = self.bed.engine(number)
            engine.thaw()
            if not engine.alive():
                engine.start()
                self.bed.state.save()
        roles = {agent_name(number) for number in self.numbers} | {MANAGER}
        for name, controller in list(self.controllers.items()):
            if name not in roles:
                controller.stop()
                del self.controllers[name]
            elif controller.env != self._env or not controller.alive():
                controller.stop()
                controller.start_again(self._env)
        for controller in self.controllers.values():
            controller.wait_until_serving()

    def stop(self) -> None:
        """Stop the managers and agents; the engines stay."""
        for controller in self.controllers.values():
            controller.stop()
        self.controllers.clear()

    def _start(
        self, name: str, role: str, number: int | None, env: Mapping[str, str] | None
    ) -> RunningController:
        known = self.controllers.get(name)
        if known is not None and known.alive():
            raise BedError(f"{name} runs already; stop or kill it, or name another")
        settings = self._env | dict(env or {})
        started = RunningController.start(
            self.bed, name, role=role, number=number, env=settings, module=self._module
        )
        self.controllers[name] = started
        return started

    def _links(self) -> NetworkState:
        links = self.bed.state.network
        if links is None:
            raise BedError(f"the bed {self.bed.state.name} has no links of its own to cut")
        return links
