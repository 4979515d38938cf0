"""What a bed has written down: enough for any later process to talk to it and to remove it."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ValidationError

from hack.bed.cache import state_folder, temporary_folder
from hack.bed.controlplane import ControlPlaneState
from hack.bed.engine import EngineState
from hack.bed.errors import BedError
from hack.bed.kubelet import KubeletState
from hack.bed.network import NetworkState
from hack.bed.processes import Process

FILE = "bed.json"


class ClusterState(BaseModel):
    """A cluster that was there already, and what the bed has made in it."""

    source: str
    kubeconfig: Path
    made_definitions: list[str] = []
    made_namespace: bool = False


class NodeState(BaseModel):
    """One Docker host of a bed, and the range of its ports and networks."""

    number: int
    name: str
    address: str
    engine: EngineState
    ports: str
    shared_subnets: str
    instance_subnets: str
    kubelet: KubeletState | None = None
    """Of a node that runs pods as well."""


def own_node(number: int, address: str, engine: EngineState, ports: str) -> NodeState:
    """A node with an engine of our own, whose networks nobody outside of it sees."""
    return NodeState(
        number=number,
        name=f"node-{number}",
        address=address,
        engine=engine,
        ports=ports,
        shared_subnets="10.212.0.0/18",
        instance_subnets="10.213.0.0/16",
    )


def own_kubelet(node: NodeState) -> KubeletState:
    """A kubelet for a node with an engine of our own, not started yet, with its files there too.

    Raises BedError for a node whose engine is not ours.
    """
    engine = node.engine
    if engine.folder is None or engine.namespace is None:
        raise BedError(
            f"{node.name} has no engine of the bed's own, beside which a kubelet can run"
        )
    return KubeletState(
        folder=engine.folder / "pods",
        number=node.number,
        node=node.name,
        address=node.address,
        namespace=engine.namespace,
    )


class BedState(BaseModel):
    """All of a bed's parts, as far as they have been made."""

    name: str
    folder: Path
    owner: Process
    """The process that brings the bed up; a temporary bed goes when that one has gone."""
    temporary: bool
    complete: bool = False
    own_engines: bool = False
    """Whether each node has an engine of its own, whatever engine is there already."""
    network: NetworkState | None = None
    control_plane: ControlPlaneState | None = None
    cluster: ClusterState | None = None
    nodes: list[NodeState] = []
    controllers: dict[str, Process] = {}

    def save(self) -> None:
        """Write the state to its file, whole or not at all."""
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=FILE)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json(indent=2))
        Path(name).replace(self.folder / FILE)

    @property
    def orphaned(self) -> bool:
        """Whether the process that the bed depends on has ended without removing the bed."""
        return not self.owner.alive() and (self.temporary or not self.complete)


def load_state(folder: Path) -> BedState | None:
    """What the bed in a folder has written down; None when there is nothing.

    Raises BedError when the file cannot be understood.
    """
    path = folder / FILE
    try:
        return BedState.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors()[0]
        raise BedError(
            f"{path}: {problem['msg']} at {problem['loc']}; was it written by another version? "
            "Stop what it names by hand, then remove the folder"
        ) from None


def every_bed() -> list[BedState]:
    """All beds of this user, those of tests too."""
    found = []
    for root in (state_folder(), temporary_folder()):
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            state = load_state(folder)
            if state is not None:
                found.append(state)
    return found
