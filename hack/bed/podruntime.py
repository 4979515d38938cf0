"""The container runtime of a node's pods: a containerd of its own, with a network for them.

It runs beside the containerd of the node's Docker engine, in the same network namespace. Its mounts
are in a mount namespace of its own, with folders of the bed's in the place of /var/lib and
/var/log, so that what it and the kubelet write at places that cannot be set is the bed's too.
"""

import hashlib
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
SHIM_SOCKETS = Path("/run/containerd/s")
OWN_FOLDERS = 'mount --bind "$1" /var/lib; mount --bind "$2" /var/log; shift 2; exec "$@"'


def command(folder: Path) -> list[str]:
    """How the containerd with its files in this folder is started."""
    config = folder / "containerd.toml"
    unshare = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-ec", OWN_FOLDERS, "sh"]
    own = [f"{folder}/var-lib", f"{folder}/var-log"]
    return [*unshare, *own, "containerd", "--config", str(config)]


def write_files(folder: Path, number: int) -> None:
    """Write the settings of the containerd of the node of this number."""
    for name in ("var-lib", "var-log", "cni"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)
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


def remove_shim_sockets(folder: Path) -> None:
    """Remove the sockets of shims that have been killed, while the folder that names them is."""
    tasks = folder / "containerd-state" / "io.containerd.runtime.v2.task" / NAMESPACE
    for task in tasks.iterdir() if tasks.is_dir() else ():
        # How containerd names them: pkg/shim's SocketAddress.
        text = os.path.join(socket_of(folder), NAMESPACE, task.name)
        name = hashlib.sha256(text.encode()).hexdigest()
        (SHIM_SOCKETS / name).unlink(missing_ok=True)


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
