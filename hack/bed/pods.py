"""Beds whose nodes run pods: a whole Kubernetes, with nothing of ours in it."""

from hack.bed.bed import Bed
from hack.bed.errors import BedError
from hack.bed.kubelet import Kubelet
from hack.bed.packages import POD_PACKAGES, install_missing
from hack.bed.podcontrollers import start_pod_controllers
from hack.bed.programs import find_pod_programs
from hack.bed.state import own_kubelet


def start_cluster(bed: Bed) -> None:
    """Start a control plane that makes pods and places them; a chart brings what is ours."""
    programs = find_pod_programs(bed.report)
    bed.start_servers(runs_pods=True)
    with bed.report.stage("start the controllers of pods"):
        start_pod_controllers(bed.control_plane, programs, dies_with_parent=bed.state.temporary)
        bed.state.save()


def start_kubelet(bed: Bed, number: int = 1) -> Kubelet:
    """Have a node with an engine of our own run pods as well; returns when it is Ready.

    Raises BedError when the engine is not ours, or with the last log lines of what does not start.
    """
    programs = find_pod_programs(bed.report)
    install_missing(bed.report, POD_PACKAGES)
    node = bed.node(number)
    with bed.report.stage(f"start the kubelet of {node.name}"):
        # Written down before anything is changed, for whoever takes the bed down.
        node.kubelet = own_kubelet(node)
        bed.state.save()
        started = kubelet(bed, number)
        started.start(bed.control_plane, programs, bed.report)
        bed.state.save()
        started.wait_until_ready(bed.kubectl)
    return started


def kubelet(bed: Bed, number: int = 1) -> Kubelet:
    """The kubelet of a node. Raises BedError when it has none."""
    state = bed.node(number).kubelet
    if state is None:
        raise BedError(f"node {number} of the bed {bed.state.name} has no kubelet")
    return Kubelet(state, dies_with_parent=bed.state.temporary)
