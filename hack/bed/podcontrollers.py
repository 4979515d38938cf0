"""What makes pods, and places them: kube-controller-manager and kube-scheduler of a bed.

With them Deployments, DaemonSets and Jobs are worked off, accounts and their tokens made, objects
deleted with their owners, and namespaces with all that is in them.
"""

from hack.bed.controlplane import ControlPlane
from hack.bed.processes import spawn
from hack.bed.programs import PodPrograms


def start_pod_controllers(
    plane: ControlPlane, programs: PodPrograms, *, dies_with_parent: bool
) -> None:
    """Start both against a control plane that runs; they need no time that anyone must wait for."""
    pki = plane.state.folder / "pki"
    # Each of its controllers has the rights of an account of its own, as in production.
    manager = plane.kubeconfig("system:kube-controller-manager")
    scheduler = plane.kubeconfig("system:kube-scheduler")
    commands = {
        "controller-manager": [
            str(programs.controller_manager),
            f"--kubeconfig={manager}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            *_alone(),
        ],
        "scheduler": [str(programs.scheduler), f"--kubeconfig={scheduler}", *_alone()],
    }
    logs = plane.state.folder.parent / "logs"
    for name, command in commands.items():
        plane.state.pod_programs.append(
            spawn(name, command, log=logs / f"{name}.log", dies_with_parent=dies_with_parent)
        )


def _alone() -> list[str]:
    """There is no other one to agree with, and nobody asks it for metrics."""
    return ["--leader-elect=false", "--secure-port=0", "--profiling=false"]
