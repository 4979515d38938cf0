"""The container runtime of a node's pods: a containerd of its own, with a network for them.

It runs beside the containerd of the node's Docker engine, in the same network namespace. Its mounts
are in a mount namespace of its own, where some of the machine's folders are the bed's: what it and
the kubelet write at places that cannot be set goes with the bed.
"""

import json
import os
import tempfile
from pathlib import Path

from hack.bed.image import echo_archive
from hack.bed.packages import PATH
from hack.bed.processes import run
from hack.bed.report import Report

PAUSE_IMAGE = "docker.io/library/challenge-pause:dev"
PLUGINS = "/usr/lib/cni"
NAMESPACE = "k8s.io"
"""containerd's own namespace for what the kubelet asks for."""
PLACES = ("/var/lib", "/var/log", "/run/containerd")
OWN_FOLDERS = f"""
folder=$1; shift
for place in {" ".join(PLACES)}; do mount --bind "$folder$place" "$place"; done
mount --make-rshared /
exec "$@"
"""


def command(folder: Path) -> list[str]:
    """How the containerd with its files in this folder is started.

    Pods may ask for mounts to spread in it, as they do where systemd has started it; never out.
    """
    config = folder / "containerd.toml"
    unshare = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-ec", OWN_FOLDERS, "sh"]
    return [*unshare, str(folder / "places"), "containerd", "--config", str(config)]


def write_files(folder: Path, number: int) -> None:
    """Write the settings of the containerd of the node of this number."""
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    for place in PLACES:
        Path(f"{folder}/places{place}").mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(_config(folder))
    network = json.dumps(_network(folder, number), indent=2)
    (folder / "cni" / "10-bed.conflist").write_text(network)


def socket_of(folder: Path) -> Path:
    """Where it listens."""
    return folder / "containerd.sock"


def import_archive(folder: Path, archive: Path) -> None:
    """Put the images of an archive, as `docker save` writes it, where pods find them.

    Raises ProgramFailed when containerd does not take it.
    """
    run("ctr", "--address", socket_of(folder), "--namespace", NAMESPACE,
        "images", "import", "--digests=false", archive,
        env=os.environ | {"PATH": PATH}, timeout=300)  # fmt: skip


def import_echo(folder: Path, image: str, words: list[str], report: Report) -> None:
    """Put an image of this full name there that runs a command of the test image's program."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tar") as file:
        file.write(echo_archive(image, words, report))
        file.flush()
        import_archive(folder, Path(file.name))


def _config(folder: Path) -> str:
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"

[grpc]
  address = "{socket_of(folder)}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Nobody may set a score below his own in a container; this machine may be one.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{PLUGINS}"
  conf_dir = "{folder}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{folder}/runc"
  SystemdCgroup = false
"""


def _network(folder: Path, number: int) -> dict[str, object]:
    """A bridge in the node's network namespace, behind which the node hides its pods' addresses."""
    addresses = {
        "type": "host-local",
        "dataDir": f"{folder}/addresses",
        "ranges": [[{"subnet": f"10.244.{number}.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {
        "cniVersion": "1.0.0",
        "name": "bed",
        # Docker forbids what it does not know to be forwarded: `firewall` allows it for the pods.
        "plugins": [
            bridge,
            {"type": "firewall", "backend": "iptables"},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
