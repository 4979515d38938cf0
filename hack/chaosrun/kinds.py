"""The kinds of faults: what each does, to which part, and how often it is drawn."""

from dataclasses import dataclass
from typing import Final

MANAGER: Final = "manager"
CLUSTER: Final = "cluster"
ALL_NODES: Final = "all nodes"


@dataclass(frozen=True)
class Fault:
    """A kind of fault. Two that have the same `part` never happen at once."""

    name: str
    part: str
    text: str
    weight: int = 2
    on_nodes: bool = True
    """Whether it can befall a node."""
    others: tuple[str, ...] = ()
    """What else it can befall."""


def _of_cluster(name: str, part: str, text: str) -> Fault:
    return Fault(name, part, text, on_nodes=False, others=(CLUSTER,))


def _of_manager(name: str, text: str) -> Fault:
    return Fault(name, "manager", text, 1, on_nodes=False, others=(MANAGER,))


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("agent-kill", "agent", "an agent is killed, and started again", 3),
        Fault("agent-freeze", "agent", "an agent is stopped by SIGSTOP, and goes on"),
        _of_manager("manager-kill", "the manager is killed, and started again"),
        _of_manager("manager-freeze", "the manager is stopped by SIGSTOP, and goes on"),
        Fault("dockerd-kill", "engine", "dockerd is killed, and started again", 3),
        Fault("dockerd-restart", "engine", "dockerd ends in good order, and is started again"),
        Fault("dockerd-freeze", "engine", "dockerd is stopped by SIGSTOP, and goes on"),
        _of_cluster("etcd-kill", "control plane", "etcd is killed, and started again"),
        _of_cluster("etcd-freeze", "control plane", "etcd is stopped by SIGSTOP, and goes on"),
        _of_cluster("apiserver-kill", "control plane", "the API server is killed, and comes back"),
        _of_cluster("apiserver-freeze", "control plane", "the API server is stopped by SIGSTOP"),
        Fault("container-kill", "container", "a container is killed", 2),
        Fault("container-freeze", "container", "a container is stopped by SIGSTOP, and goes on", 1),
        Fault("container-remove", "container", "a container is removed by hand", 1),
        Fault("link-cut", "link", "a node is cut off, or all are", 3, others=(ALL_NODES,)),
        Fault("disk-full", "disk", "the disk of an agent's state folder is full"),
        Fault(
            "clock-jump", "clock", "the clock of a controller jumps, and back", others=(MANAGER,)
        ),
        Fault("watch-drop", "watch", "connections to the API server are cut", others=(CLUSTER,)),
    )
}
