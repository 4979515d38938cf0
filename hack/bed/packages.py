"""Debian packages that an engine of our own needs, installed when they are missing."""

import os
import shutil
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
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin:/usr/local/sbin"


def install_missing(report: Report) -> None:
    """Install what an engine of our own needs and is not there.

    Raises BedError when that takes another system than Debian, or another user than root.
    """
    missing = {
        package for name, package in PACKAGES.items() if shutil.which(name, path=PATH) is None
    }
    if not missing:
        return
    names = " ".join(sorted(missing))
    if not Path("/etc/debian_version").exists() or os.geteuid() != 0:
        raise BedError(
            f"no Docker engine answers, and {names} is not installed: start Docker and set "
            "DOCKER_HOST, or run this as root on Debian, where it is installed for you"
        )
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with report.stage(f"install the Debian packages {names}"):
        run("apt-get", "update", "-qq", env=env, timeout=600)
        run(
            *("apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)),
            env=env,
            timeout=1800,
        )
