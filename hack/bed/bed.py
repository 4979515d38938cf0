"""A development bed: brought up part by part, written down as it goes, taken down whole.

Whatever happens half-way, `down` finds and removes all of it: each part is written to the bed's
file before it is made, and programs can be told by the bed's folder in their command lines.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hack.bed import accounts, cluster, network
from hack.bed.cache import locked
from hack.bed.controllers import PROGRAM, SERVING_TIMEOUT, spawn_controller, wait_until_serving
from hack.bed.controlplane import ControlPlane, ControlPlaneState
from hack.bed.engine import Engine, EngineState, foreign_engine, own_engine
from hack.bed.errors import BedError
from hack.bed.foreign import claim_node, remove_from_node
from hack.bed.image import import_echo_image
from hack.bed.kubeconfig import Kubectl, copy_current, current_server
from hack.bed.kubelet import Kubelet
from hack.bed.leftovers import processes_of_folder, unmount_below
from hack.bed.packages import install_missing
from hack.bed.processes import Process, by_pid, uninterrupted
from hack.bed.programs import find_kubectl, find_programs
from hack.bed.report import Report
from hack.bed.state import BedState, ClusterState, NodeState, load_state, own_node


class Bed:
    """A control plane, Docker engines and controllers in one folder."""

    def __init__(self, state: BedState, report: Report) -> None:
        self.state = state
        self.report = report
        self._control_plane: ControlPlane | None = None
        self._engines: dict[int, Engine] = {}
        self._kubectl: Kubectl | None = None

    @classmethod
    def create(
        cls, name: str, folder: Path, report: Report, *, temporary: bool, own_engines: bool = False
    ) -> "Bed":
        """A new bed with nothing in it yet. Raises BedError when its folder exists already.

        With `own_engines` it uses no engine that is there: several nodes have one each.
        """
        owner = by_pid(os.getpid(), "owner")
        if owner is None:
            raise BedError("/proc is not mounted; a bed needs it")
        try:
            folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise BedError(f"there is a bed in {folder} already") from None
        folder = folder.resolve()
        state = BedState(
            name=name, folder=folder, owner=owner, temporary=temporary, own_engines=own_engines
        )
        state.save()
        return cls(state, report)

    @classmethod
    def load(cls, folder: Path, report: Report) -> "Bed | None":
        """The bed in a folder; None when there is none."""
        state = load_state(folder)
        return None if state is None else cls(state, report)

    # -- parts ---------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the bed's administrator."""
        if self.state.cluster is not None:
            return self.state.cluster.kubeconfig
        return self.control_plane.admin_kubeconfig

    @property
    def docker_host(self) -> str:
        """Where the first node's engine listens."""
        return self.engine().url

    @property
    def control_plane(self) -> ControlPlane:
        """The bed's own control plane. Raises BedError when it has none."""
        if self._control_plane is None:
            if self.state.control_plane is None:
                raise BedError(f"the bed {self.state.name} has no control plane of its own")
            self._control_plane = ControlPlane(
                self.state.control_plane,
                find_programs(self.report),
                dies_with_parent=self.state.temporary,
            )
        return self._control_plane

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the bed's administrator."""
        if self._kubectl is None:
            program = find_kubectl(self.report)
            self._kubectl = Kubectl(program, self.kubeconfig, self.state.folder / "kube-cache")
        return self._kubectl

    def node(self, number: int = 1) -> NodeState:
        """A node, counted from 1. Raises BedError when there is none of that number."""
        for node in self.state.nodes:
            if node.number == number:
                return node
        raise BedError(f"the bed {self.state.name} has no node {number}")

    def engine(self, number: int = 1) -> Engine:
        """The Docker engine of a node."""
        if number not in self._engines:
            state = self.node(number).engine
            self._engines[number] = Engine(state, dies_with_parent=self.state.temporary)
        return self._engines[number]

    # -- up ------------------------------------------------------------------------------------

    @contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """Take the bed down when what is done inside fails or is interrupted."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(BedError):
                self.down()
            raise

    def start_network(self) -> None:
        """Make the bridge that nodes of our own will need; none for an engine that is there."""
        if self.state.network is None and os.geteuid() == 0 and self._foreign_engine() is None:
            install_missing(self.report)
            # Written down before anything else is done with it, so that a crash leaves no bridge.
            self.state.network = network.claim_network(self.state.folder)
            self.state.save()
            network.start_network(self.state.network)

    def start_control_plane(self) -> None:
        """Start etcd and the API server, apply our kinds, make the controller's namespace."""
        self.start_servers()
        with self.report.stage("apply the custom resource definitions"):
            cluster.prepare(self.kubectl)
            accounts.grant(self.kubectl)

    def start_servers(self, *words: str, runs_pods: bool = False) -> None:
        """Start etcd and the API server, with nothing of ours in it; `words` are for the latter."""
        find_programs(self.report)
        find_kubectl(self.report)
        self.start_network()
        # Nodes reach it over the bridge; without one nobody but this machine does.
        address = self.state.network.address if self.state.network else "127.0.0.1"
        with self.report.stage("start the control plane"):
            folder = self.state.folder / "controlplane"
            self.state.control_plane = ControlPlaneState(
                folder=folder, address=address, runs_pods=runs_pods, words=list(words)
            )
            self.state.save()
            self.control_plane.start()
            self.state.save()

    def use_current_cluster(self) -> None:
        """Use the cluster that kubectl talks to now, and note what is made in it.

        Raises BedError when it cannot be reached, by us or from a node.
        """
        folder = self.state.folder
        kubeconfig = copy_current(find_kubectl(self.report), folder / "cluster.kubeconfig")
        self.state.cluster = ClusterState(source=current_server(kubeconfig), kubeconfig=kubeconfig)
        self.state.save()
        with self.report.stage(f"apply the definitions to {self.state.cluster.source}"):
            made = cluster.missing(self.kubectl)
            self.state.cluster.made_definitions = made.definitions
            self.state.cluster.made_namespace = made.namespace
            self.state.save()
            cluster.prepare(self.kubectl)

    def start_engine(
        self,
        number: int = 1,
        *,
        ports: str = "10000-29999",
        daemon: Mapping[str, object] | None = None,
        programs: Path | None = None,
    ) -> None:
        """Find the Docker engine of a node, or start one of our own.

        `ports`, `daemon` and `programs` are for one of our own: the range that it hands out,
        entries of daemon.json, and a folder with programs that it is to find first.
        """
        foreign = self._foreign_engine()
        if foreign is not None:
            with locked("slots"):
                self.state.nodes.append(claim_node(foreign))
                self.state.save()
            return
        install_missing(self.report)
        self.start_network()
        links = self.state.network
        if links is None:
            raise BedError(
                "no Docker engine answers: start Docker, set DOCKER_HOST, or run this as root on "
                "Debian, where an engine is started for you (several nodes need one each: root)"
            )
        name = f"node-{number}"
        with self.report.stage(f"start a Docker engine for {name}"):
            folder, namespace = self.state.folder / name, links.namespace(number)
            engine = own_engine(folder, namespace, daemon=daemon, programs=programs)
            node = own_node(number, links.node_address(number), engine, ports)
            self.state.nodes.append(node)
            self.state.save()
            network.add_node(links, number)
            self.engine(number).start()
            self.state.save()

    def _foreign_engine(self) -> EngineState | None:
        return None if self.state.own_engines else foreign_engine()

    def import_image(self, number: int = 1) -> str:
        """Put the demo image into a node's engine; returns its name."""
        return import_echo_image(self.engine(number).url, self.report)

    def start_controller(
        self,
        name: str = "controller",
        *,
        role: str = "all",
        number: int | None = 1,
        env: Mapping[str, str] | None = None,
        module: str = PROGRAM,
    ) -> Process:
        """Start a role of `challenge-controller`; `env` wins over the bed's settings.

        `module` is one that does the same as the product's own, and something to it, in its place.

        `number` is its node; None is this machine itself, which is where a manager may run. What
        was started under the same name before, if anything, has left its state to this one.
        """
        node = None if number is None else self.node(number)
        kubeconfig = self.kubeconfig
        if self.state.control_plane is not None and role in accounts.ROLES:
            place = node.name if node else ""
            kubeconfig = accounts.of_role(self.control_plane, self.kubectl, role, name, place)
        process = spawn_controller(
            self.state, node, kubeconfig, name, role, env or {}, module=module
        )
        self.state.controllers[name] = process
        self.state.save()
        return process

    def wait_for_controller(
        self, name: str = "controller", *, number: int | None = 1, timeout: float = SERVING_TIMEOUT
    ) -> None:
        """Wait until a node's controller has registered it as ready, or a manager (None) acts.

        Raises BedError with its last log lines when it ends, or takes longer than `timeout` s.
        """
        node = None if number is None else self.node(number).name
        wait_until_serving(self.kubectl, node, self.state.controllers[name], name, timeout)

    def stop_controller(self, name: str = "controller", *, timeout: float = 20.0) -> None:
        """Ask a controller to end, and kill it when it has not after `timeout` seconds."""
        process = self.state.controllers.pop(name, None)
        if process is not None:
            process.stop(timeout)
            self.state.save()

    # -- down ----------------------------------------------------------------------------------

    def down(self) -> None:
        """Stop and remove everything of the bed. Safe to call again, and after any crash."""
        with uninterrupted():
            links = self.state.network
            if links is not None and not network.is_owned(links, self.state.folder):
                # They have gone before, and another bed may have had the number since.
                links = None
            if self.state.cluster is not None:
                # The controllers still run: they remove their finalizers from what goes.
                cluster.leave(self.kubectl, self.state.cluster)
            for name in list(self.state.controllers):
                self.stop_controller(name, timeout=5.0)
            for node in self.state.nodes:
                if node.kubelet is not None:
                    Kubelet(node.kubelet, dies_with_parent=False).stop()
                remove_from_node(self.engine(node.number), self.state.name, links)
            if self.state.control_plane is not None:
                plane = ControlPlane(self.state.control_plane, None, dies_with_parent=False)
                plane.stop()
            for process in processes_of_folder(self.state.folder):
                process.kill()
            if links is not None:
                for node in self.state.nodes:
                    network.remove_node(links, node.number)
                network.remove_network(links)
            unmount_below(self.state.folder)  # a small disk for a state folder, say
            shutil.rmtree(self.state.folder, ignore_errors=True)
