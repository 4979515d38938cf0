"""A control plane of its own: etcd and kube-apiserver in one folder, on free ports.

It is for development and tests: etcd does not sync to disk, nothing is backed up. Everything is
behind TLS with client certificates, etcd included, since other users of the machine could reach it.
"""

import http.client
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel

from hack.bed.certificates import Authority
from hack.bed.errors import BedError
from hack.bed.kubeconfig import write_kubeconfig
from hack.bed.processes import Process, spawn
from hack.bed.programs import Programs

READY_TIMEOUT = 180.0
START_ATTEMPTS = 3
SERVICES = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
"""The first of them: what pods take for the API server's address."""


class ControlPlaneState(BaseModel):
    """What another process must know to talk to a control plane, or to stop it."""

    folder: Path
    address: str
    apiserver_port: int = 0
    etcd_port: int = 0
    etcd_peer_port: int = 0
    etcd: Process | None = None
    apiserver: Process | None = None
    words: list[str] = []
    """Further words of the API server's command line."""
    runs_pods: bool = False
    """Whether there are nodes with a kubelet, and the programs that make pods for them."""
    pod_programs: list[Process] = []


class ControlPlane:
    """etcd and kube-apiserver in a folder; `state` is kept current for `Bed` to write down."""

    def __init__(
        self, state: ControlPlaneState, programs: Programs | None, *, dies_with_parent: bool
    ) -> None:
        self.state = state
        self._programs = programs
        self._dies_with_parent = dies_with_parent
        self._authority = Authority(state.folder / "pki")

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.state.address}:{self.state.apiserver_port}"

    @property
    def admin_kubeconfig(self) -> Path:
        """The kubeconfig of a user who may do everything (group system:masters)."""
        return self.state.folder / "admin.kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate of those who sign the API server's."""
        return self._authority.pair.certificate

    def start(self) -> None:
        """Start both and return when the API server says that it is ready.

        Raises BedError with the last log lines when one does not come up.
        """
        self._authority.server("etcd", ["127.0.0.1", "localhost"])
        hosts = ["127.0.0.1", "localhost", self.state.address, SERVICE_ADDRESS]
        self._authority.server("apiserver", hosts)
        self._authority.client("apiserver-etcd", user="kube-apiserver")
        self._authority.client(
            "apiserver-kubelet", user="kube-apiserver", groups=["system:masters"]
        )
        self._authority.signing_key("service-account")
        self._start_etcd()
        self.start_apiserver()
        self.kubeconfig("admin", groups=["system:masters"])

    def kubeconfig(self, user: str, *, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig for a user with these groups and return its path."""
        client = self._authority.client(
            f"client-{user.replace(':', '-')}", user=user, groups=groups
        )
        path = self.state.folder / f"{user.replace(':', '-')}.kubeconfig"
        write_kubeconfig(
            path,
            name="challenge-bed",
            server=self.server,
            authority=self.authority,
            client=client,
        )
        return path

    def start_apiserver(self) -> None:
        """Start the API server alone (again), on the port that it had before, and wait for it."""
        wanted = self.state.apiserver_port
        for attempt in range(START_ATTEMPTS):
            port = wanted or free_port(self.state.address)
            self.state.apiserver_port = port
            self.state.apiserver = self._spawn("apiserver", self._apiserver_command(port))
            if self._wait(self.state.apiserver, self._apiserver_ready):
                return
            if attempt + 1 == START_ATTEMPTS or self.state.apiserver.alive():
                raise _not_up(self.state.apiserver)

    def stop_apiserver(self) -> None:
        """Stop the API server alone, as in an outage; etcd keeps what it had."""
        if self.state.apiserver is not None:
            # It takes some seconds to end of its own accord when watches are open.
            self.state.apiserver.stop(timeout=5.0)
            self.state.apiserver = None

    def kill_etcd(self) -> None:
        """Kill etcd alone, as in a crash; what it had stays."""
        if self.state.etcd is not None:
            self.state.etcd.kill()

    def start_etcd_again(self) -> None:
        """Start etcd alone, with what it had and where it was, and wait for it."""
        self.state.etcd = self._spawn("etcd", self._etcd_command(free_port("127.0.0.1")))
        if not self._wait(self.state.etcd, self._etcd_ready):
            raise _not_up(self.state.etcd)

    def save(self, name: str) -> Path:
        """Copy what etcd has at this moment, as a backup; to be given to `restore`.

        etcd stands still meanwhile: its files are what a crash would leave, from which it starts.
        """
        saved = self.state.folder / f"etcd.{name}"
        shutil.rmtree(saved, ignore_errors=True)
        if self.state.etcd is None or not self.state.etcd.signal(signal.SIGSTOP):
            raise BedError("etcd does not run: there is nothing to save")
        try:
            while not self.state.etcd.stands_still():
                time.sleep(0.01)
            shutil.copytree(self.state.folder / "etcd", saved)
        finally:
            self.state.etcd.signal(signal.SIGCONT)
        return saved

    def restore(self, saved: Path | None) -> None:
        """Go back to what was saved, or to an empty store, which is another cluster (None).

        API server and etcd are stopped and started again, on the ports that they had.
        """
        self.stop_apiserver()
        self._stop_etcd()
        shutil.rmtree(self.state.folder / "etcd", ignore_errors=True)
        if saved is not None:
            shutil.copytree(saved, self.state.folder / "etcd")
        self._start_etcd()
        self.start_apiserver()

    def alive(self) -> bool:
        """Whether both programs run."""
        both = (self.state.etcd, self.state.apiserver)
        return all(process is not None and process.alive() for process in both)

    def stop(self) -> None:
        """Stop all and remove the folder. Safe to call again, and when a start failed half-way."""
        for process in self.state.pod_programs:
            process.stop(timeout=5.0)
        # The API server hangs in its shutdown when etcd has gone before it.
        self.stop_apiserver()
        self._stop_etcd()
        shutil.rmtree(self.state.folder, ignore_errors=True)

    def _stop_etcd(self) -> None:
        if self.state.etcd is not None:
            self.state.etcd.stop(timeout=5.0)
            self.state.etcd = None

    def _start_etcd(self) -> None:
        """Start etcd (again), on the ports that it had before, and wait for it."""
        again = self.state.etcd_port != 0
        for _ in range(START_ATTEMPTS):
            if not again:
                self.state.etcd_port = free_port("127.0.0.1")
                self.state.etcd_peer_port = free_port("127.0.0.1")
            self.state.etcd = self._spawn("etcd", self._etcd_command(self.state.etcd_peer_port))
            if self._wait(self.state.etcd, self._etcd_ready):
                return
            if not again:  # else on the port it had, which a connection may have for a moment
                shutil.rmtree(self.state.folder / "etcd", ignore_errors=True)
        raise _not_up(self.state.etcd)

    def _spawn(self, name: str, command: list[str]) -> Process:
        log = self.state.folder.parent / "logs" / f"{name}.log"
        return spawn(name, command, log=log, dies_with_parent=self._dies_with_parent)

    def _etcd_command(self, peer_port: int) -> list[str]:
        pki = self.state.folder / "pki"
        clients = f"https://127.0.0.1:{self.state.etcd_port}"
        peers = f"https://127.0.0.1:{peer_port}"
        command = [str(self._need().etcd), "--name=bed", f"--data-dir={self.state.folder}/etcd"]
        command += [f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"]
        command += [f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"]
        command += [f"--initial-cluster=bed={peers}", "--unsafe-no-fsync", "--log-level=warn"]
        for prefix in ("", "peer-"):
            command += [f"--{prefix}client-cert-auth", f"--{prefix}trusted-ca-file={pki}/ca.crt"]
            command += [f"--{prefix}cert-file={pki}/etcd.crt", f"--{prefix}key-file={pki}/etcd.key"]
        return command

    def _apiserver_command(self, port: int) -> list[str]:
        pki = self.state.folder / "pki"
        return [
            str(self._need().apiserver),
            f"--bind-address={self.state.address}",
            f"--secure-port={port}",
            f"--etcd-servers=https://127.0.0.1:{self.state.etcd_port}",
            f"--etcd-cafile={pki}/ca.crt",
            f"--etcd-certfile={pki}/apiserver-etcd.crt",
            f"--etcd-keyfile={pki}/apiserver-etcd.key",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={SERVICES}",
            *self._pod_words(),
            # It would refuse a loopback address, and no pod looks for the server here.
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            *self.state.words,
        ]

    def _pod_words(self) -> list[str]:
        """What the API server must know of pods, and of the kubelets that it asks about them."""
        if not self.state.runs_pods:
            # There is no controller manager: nothing would ever put that account there.
            return ["--disable-admission-plugins=ServiceAccount"]
        pki = self.state.folder / "pki"
        return [
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _need(self) -> Programs:
        if self._programs is None:
            raise BedError("this control plane was loaded to be stopped; it cannot be started")
        return self._programs

    def _wait(self, process: Process, is_ready: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and process.alive():
            if is_ready():
                return True
            process.wait(0.05)
        return False

    def _apiserver_ready(self) -> bool:
        return self._get("apiserver-etcd", self.state.address, self.state.apiserver_port, "/readyz")

    def _etcd_ready(self) -> bool:
        return self._get("apiserver-etcd", "127.0.0.1", self.state.etcd_port, "/health")

    def _get(self, client: str, host: str, port: int, path: str) -> bool:
        pki = self.state.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
        connection = http.client.HTTPSConnection(host, port, timeout=2.0, context=context)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def free_port(address: str) -> int:
    """A TCP port of this address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _not_up(process: Process | None) -> BedError:
    if process is None:
        return BedError("etcd was not started")
    return BedError(f"{process.name} does not come up; its last lines:\n{process.log_tail()}")
