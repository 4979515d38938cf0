"""The programs of the development control plane: found, or built from Go modules."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.bed.cache import REPOSITORY
from hack.bed.errors import BedError
from hack.bed.golang import Build, build
from hack.bed.report import Report

MODULES = REPOSITORY / "hack" / "controlplane"


@dataclass(frozen=True)
class Programs:
    """The paths of the programs that a control plane needs."""

    etcd: Path
    apiserver: Path


@dataclass(frozen=True)
class PodPrograms:
    """The paths of the programs that a cluster needs beside these for its pods to run."""

    controller_manager: Path
    scheduler: Path
    kubelet: Path


def find_programs(report: Report) -> Programs:
    """etcd and kube-apiserver: from KUBEBUILDER_ASSETS where that is set, else built and cached.

    Raises BedError when the folder that KUBEBUILDER_ASSETS names lacks one, or a build fails.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        return Programs(_asset(assets, "etcd"), _asset(assets, "kube-apiserver"))
    return Programs(
        build(etcd_build(), report),
        build(kubernetes_build("kube-apiserver", core_seconds=800), report),
    )


def find_pod_programs(report: Report) -> PodPrograms:
    """kube-controller-manager, kube-scheduler and kubelet, built and cached."""
    return PodPrograms(
        build(kubernetes_build("kube-controller-manager", core_seconds=80), report),
        build(kubernetes_build("kube-scheduler", core_seconds=25), report),
        build(kubernetes_build("kubelet", core_seconds=260), report),
    )


def find_kubectl(report: Report) -> Path:
    """kubectl: from KUBEBUILDER_ASSETS, else from the PATH, else built and cached."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / "kubectl").exists():
        return Path(assets) / "kubectl"
    found = shutil.which("kubectl")
    if found is not None:
        return Path(found)
    return build(kubernetes_build("kubectl", core_seconds=120), report)


def find_helm(report: Report) -> Path:
    """Helm, built and cached: the version that the chart is tested with."""
    return build(helm_build(), report)


def etcd_build() -> Build:
    """How etcd is built."""
    module = MODULES / "etcd"
    version = required(module, "go.etcd.io/etcd/server/v3")
    return Build("etcd", version, module, ".", core_seconds=60)


def kubernetes_build(program: str, *, core_seconds: float) -> Build:
    """How one of Kubernetes' programs is built; it must know its version, or kubectl refuses it."""
    module = MODULES / "kubernetes"
    version = required(module, "k8s.io/kubernetes")
    major, minor = version.removeprefix("v").split(".")[:2]
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in (("Version", version), ("Major", major), ("Minor", minor)):
            flags += ["-X", f"{package}.git{name}={value}"]
    package = f"k8s.io/kubernetes/cmd/{program}"
    return Build(program, version, module, package, " ".join(flags), core_seconds=core_seconds)


def helm_build() -> Build:
    """How Helm is built; its `template` and `lint` expect a cluster of the bed's version."""
    module = MODULES / "helm"
    version = required(module, "helm.sh/helm/v3")
    major, minor = required(MODULES / "kubernetes", "k8s.io/kubernetes")[1:].split(".")[:2]
    flags = ["-s", "-w", "-X", f"helm.sh/helm/v3/internal/version.version={version}"]
    for package in ("chartutil", "lint/rules"):
        for name, value in (("Major", major), ("Minor", minor)):
            flags += ["-X", f"helm.sh/helm/v3/pkg/{package}.k8sVersion{name}={value}"]
    package = "helm.sh/helm/v3/cmd/helm"
    return Build("helm", version, module, package, " ".join(flags), core_seconds=150)


def required(module: Path, dependency: str) -> str:
    """The version of a dependency, by a line of its own in a go.mod; raises BedError."""
    text = (module / "go.mod").read_text()
    # Go writes "// indirect" behind a module that only a tool is built from.
    match = re.search(
        rf"^require {re.escape(dependency)} (v\S+)( // indirect)?$", text, re.MULTILINE
    )
    if match is None:
        raise BedError(f"{module / 'go.mod'} does not require {dependency} on a line of its own")
    return match.group(1)


def _asset(folder: str, name: str) -> Path:
    path = Path(folder) / name
    if not path.exists():
        raise BedError(f"KUBEBUILDER_ASSETS={folder} holds no {name}; unset it to have one built")
    return path
