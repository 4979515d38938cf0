"""Debian packages that a bed's own programs need, installed when they are missing."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hack.bed.errors import BedError
from hack.bed.processes import run
from hack.bed.report import Report

# Each program that is needed, and the package that brings it.
PACKAGES = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
POD_PACKAGES = {
    "containerd": "containerd",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
REGISTRY_PACKAGES = {"docker-registry": "docker-registry"}
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin:/usr/local/sbin"


def install_missing(report: Report, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install what an engine of our own (or who has the given programs) needs and is not there.

    Raises BedError when that takes another system than Debian, or another user than root.
    """
    missing = {
        package for name, package in packages.items() if shutil.which(name, path=PATH) is None
    }
    if not missing:
        return
    names = " ".join(sorted(missing))
    if not Path("/etc/debian_version").exists() or os.geteuid() != 0:
        otherwise = "install it" if packages is not PACKAGES else "start Docker and set DOCKER_HOST"
        raise BedError(
            f"{names} is needed and is not installed: {otherwise}, or run this as root on Debian, "
            "where it is installed for you"
        )
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with report.stage(f"install the Debian packages {names}"):
        run("apt-get", "update", "-qq", env=env, timeout=600)
        run(
            *("apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)),
            env=env,
            timeout=1800,
        )
