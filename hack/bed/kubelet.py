"""A kubelet for a bed's node: what is scheduled there really runs as pods, beside its engine.

A pod with hostNetwork is in the node's network namespace, and a hostPath is this machine's, so a
pod can be given the socket of the node's engine. There is no kube-proxy and no DNS: the one service
that pods find is the API server's, by a rule of the node's firewall.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, Field

from hack.bed import cgroups, podruntime
from hack.bed.certificates import Authority
from hack.bed.controlplane import SERVICE_ADDRESS, ControlPlane
from hack.bed.errors import BedError
from hack.bed.kubeconfig import Kubectl
from hack.bed.leftovers import kill_engine_processes
from hack.bed.packages import PATH
from hack.bed.processes import Process, run, spawn
from hack.bed.programs import PodPrograms
from hack.bed.report import Report

READY_TIMEOUT = 180.0
SETTINGS = Path("/proc/sys")
# What a kubelet sets on the machine that it runs on, if it is not so already.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class KubeletState(BaseModel):
    """What another process must know to use a node's kubelet, or to stop it."""

    folder: Path
    number: int
    node: str
    address: str
    namespace: str
    containerd: Process | None = None
    kubelet: Process | None = None
    sysctls: dict[str, str] = Field(default_factory=lambda: _to_be_changed())
    """Settings of the machine that will be changed, as they were before."""


class Kubelet:
    """A kubelet with a container runtime of its own in a folder."""

    def __init__(self, state: KubeletState, *, dies_with_parent: bool) -> None:
        self.state = state
        self._dies_with_parent = dies_with_parent

    def start(self, plane: ControlPlane, programs: PodPrograms, report: Report) -> None:
        """Start both programs; `wait_until_ready` waits until pods can run.

        Raises BedError with the last log lines when the runtime does not come up.
        """
        state = self.state
        podruntime.write_files(state.folder, state.number)
        self._start_containerd()
        podruntime.import_echo(state.folder, podruntime.PAUSE_IMAGE, ["sleep"], report)
        cgroups.create(self._cgroup)
        self._lead_to(plane)
        self._write_config(plane)
        kubeconfig = plane.kubeconfig(f"system:node:{state.node}", groups=["system:nodes"])
        self.state.kubelet = self._spawn("kubelet", self._command(programs, kubeconfig))

    def wait_until_ready(self, kubectl: Kubectl) -> None:
        """Wait until pods are placed on the node. Raises BedError with the last log lines."""
        kubelet = self.state.kubelet
        if kubelet is None:
            raise BedError("the kubelet was not started")

        def is_ready() -> bool:
            words = ("get", "node", self.state.node, "--ignore-not-found", "--output=json")
            text = kubectl(*words, check=False).stdout
            found = json.loads(text) if text else {}
            if found.get("spec", {}).get("taints"):
                # Until the controllers have seen that it is Ready.
                return False
            conditions = found.get("status", {}).get("conditions", [])
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

        self._wait_for(kubelet, is_ready)

    def import_archive(self, archive: Path) -> None:
        """Put the images of an archive, as `docker save` writes it, where pods find them."""
        podruntime.import_archive(self.state.folder, archive)

    def tag_image(self, image: str, other: str) -> None:
        """Have pods find an image under another full name too."""
        podruntime.tag_image(self.state.folder, image, other)

    def import_echo(self, image: str, report: Report) -> None:
        """Put the test image there under this full name."""
        podruntime.import_echo(self.state.folder, image, ["serve"], report)

    def stop(self) -> None:
        """End all pods, and remove all that is left of them. Safe to call again."""
        folder = self.state.folder
        for process in (self.state.kubelet, self.state.containerd):
            if process is not None:
                process.kill()
        # The pods, and the shims, which outlive their containerd. The mounts go with the last.
        kill_engine_processes(folder, None)
        for name, value in self.state.sysctls.items():
            (SETTINGS / name).write_text(value)
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def _cgroup(self) -> str:
        """Below the cgroup of the node's engine, so that it is found with that one too."""
        return f"{self.state.namespace}/pods"

    def _start_containerd(self) -> None:
        self.state.containerd = self._spawn("pods", podruntime.command(self.state.folder))
        listens = podruntime.socket_of(self.state.folder).exists
        self._wait_for(self.state.containerd, listens)

    def _command(self, programs: PodPrograms, kubeconfig: Path) -> list[str]:
        state, containerd = self.state, self.state.containerd
        if containerd is None:
            raise BedError("the kubelet's containerd was not started")
        return [
            # The mounts that it makes for pods are for their containers to see.
            *("nsenter", f"--mount=/proc/{containerd.pid}/ns/mnt", "--"),
            str(programs.kubelet),
            f"--config={state.folder}/kubelet.json",
            f"--root-dir={state.folder}/kubelet",
            f"--cert-dir={state.folder}/kubelet-pki",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={state.node}",
            f"--node-ip={state.address}",
        ]

    def _write_config(self, plane: ControlPlane) -> None:
        folder, authority = self.state.folder, Authority(plane.authority.parent)
        pair = authority.server(f"kubelet-{self.state.node}", [self.state.address])
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.state.address,
            "tlsCertFile": str(pair.certificate),
            "tlsPrivateKeyFile": str(pair.key),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(plane.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{podruntime.socket_of(folder)}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "podLogsDir": f"{folder}/logs",
            "volumePluginDir": f"{folder}/volume-plugins",
            # The node's firewall belongs to its engine and to what is tested.
            "makeIPTablesUtilChains": False,
            # This machine's disk and memory are not the bed's to judge.
            "evictionHard": dict.fromkeys(
                ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"),
                "0%",
            ),
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
        }
        (folder / "kubelet.json").write_text(json.dumps(config, indent=2))

    def _lead_to(self, plane: ControlPlane) -> None:
        """Have the API server's service address lead to it, as a kube-proxy would."""
        target = f"{plane.state.address}:{plane.state.apiserver_port}"
        for chain in ("PREROUTING", "OUTPUT"):
            run("nsenter", f"--net=/run/netns/{self.state.namespace}", "--",
                "iptables", "--wait", "-t", "nat", "-A", chain, "-d", SERVICE_ADDRESS, "-p", "tcp",
                "--dport", "443", "-j", "DNAT", "--to-destination", target,
                env=os.environ | {"PATH": PATH})  # fmt: skip

    def _spawn(self, name: str, command: list[str]) -> Process:
        folder = self.state.folder
        return spawn(
            name,
            command,
            log=folder.parent.parent / "logs" / f"{name}-{self.state.node}.log",
            env={"PATH": PATH, "HOME": str(folder), "TMPDIR": str(folder)},
            namespace=self.state.namespace,
            dies_with_parent=self._dies_with_parent,
        )

    def _wait_for(self, process: Process, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and process.alive():
            if condition():
                return
            process.wait(0.1)
        raise BedError(f"{process.name} does not come up; its last lines:\n{process.log_tail()}")


def _to_be_changed() -> dict[str, str]:
    """What was changed by the kubelet of another bed is left out: that one puts it back."""
    now = {name: (SETTINGS / name).read_text().strip() for name in SYSCTLS}
    return {name: value for name, value in now.items() if value != SYSCTLS[name]}
