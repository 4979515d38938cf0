"""Which cluster, as whom: the kubeconfig files, read and merged as kubectl does.

Must talk to nobody. pykube takes one file and no list of them, and looks for relative paths beside
that one; so what it is handed is made here: one context, with every path absolute.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from controller.cli.errors import CommandError

Entry = dict[str, Any]

DEFAULT: Final = "~/.kube/config"
PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """One context of a kubeconfig: a cluster, a user, a namespace."""

    context: str
    cluster: Entry
    user: Entry
    user_name: str
    namespace: str
    source: str
    """Where it was read, for messages."""

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self.cluster["server"])


def read(
    path: str | None = None,
    context: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """Read the context to use: of the file given, of $KUBECONFIG's files, or of ~/.kube/config.

    Where there is none of them, in a pod, it is the pod's service account. Raises CommandError
    when that gives no cluster, and says what is missing.
    """
    files, must_exist = _files(path, environment)
    found = [file for file in files if must_exist or file.is_file()]
    source = ", ".join(map(str, files))
    if not found:
        return _in_cluster(environment, service_account, source)
    merged = _merged([_document(file) for file in found])
    name = context or merged["current-context"]
    if not name:
        raise CommandError(
            f"No current context in {source}: kubectl config use-context NAME, or --context NAME; "
            f"there are {_names(merged['contexts'])}"
        )
    chosen = _entry(merged["contexts"], name, "context", source)
    cluster_name, user_name = str(chosen.get("cluster", "")), str(chosen.get("user", ""))
    cluster = _entry(merged["clusters"], cluster_name, f"cluster (of the context {name})", source)
    user: Entry = {}
    if user_name:
        user = _entry(merged["users"], user_name, f"user (of the context {name})", source)
    if not cluster.get("server"):
        raise CommandError(
            f"The cluster {cluster_name!r} in {source} has no server: expected a URL"
        )
    namespace = str(chosen.get("namespace") or "default")
    return Access(name, cluster, user, user_name, namespace, source)


def _files(path: str | None, environment: Mapping[str, str]) -> tuple[list[Path], bool]:
    """The files to read, and whether each must be there."""
    if path:
        return [Path(path).expanduser()], True
    listed = [name for name in environment.get("KUBECONFIG", "").split(os.pathsep) if name]
    home = environment.get("HOME", "")
    default = DEFAULT.replace("~", home, 1) if home else DEFAULT
    return [Path(name).expanduser() for name in listed or [default]], False


def _document(file: Path) -> Entry:
    """A file's content, paths made absolute."""
    try:
        document = yaml.safe_load(file.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(f"The kubeconfig {file} cannot be read: {error}") from error
    kept: Entry = {"current-context": ""}
    if not isinstance(document, dict):
        raise CommandError(
            f"{file} is no kubeconfig: expected a mapping with clusters and contexts"
        )
    kept["current-context"] = document.get("current-context") or ""
    for kind in ("cluster", "user", "context"):
        kept[f"{kind}s"] = {}
        for item in document.get(f"{kind}s") or []:
            try:
                kept[f"{kind}s"][item["name"]] = _absolute(dict(item[kind] or {}), file.parent)
            except (KeyError, TypeError, ValueError) as error:
                raise CommandError(
                    f"{file} is no kubeconfig: an entry of {kind}s lacks name or {kind}"
                ) from error
    return kept


def _absolute(entry: Entry, folder: Path) -> Entry:
    for key in PATHS:
        if entry.get(key):
            entry[key] = str(folder.absolute() / str(entry[key]))
    program = entry.get("exec")
    if isinstance(program, dict) and os.sep in str(program.get("command", "")):
        entry["exec"] = program | {"command": str(folder.absolute() / program["command"])}
    return entry


def _merged(documents: list[Entry]) -> Entry:
    """One document of several: who comes first has its way, as with kubectl."""
    merged: Entry = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for document in documents:
        merged["current-context"] = merged["current-context"] or document["current-context"]
        for kind in ("clusters", "users", "contexts"):
            merged[kind] = document[kind] | merged[kind]
    return merged


def _entry(entries: Entry, name: str, what: str, source: str) -> Entry:
    if name not in entries:
        raise CommandError(f"No {what} {name!r} in {source}; there are {_names(entries)}")
    entry: Entry = entries[name]
    return entry


def _names(entries: Entry) -> str:
    return ", ".join(sorted(entries)) or "none"


def _in_cluster(environment: Mapping[str, str], folder: Path, source: str) -> Access:
    host, port = (
        environment.get("KUBERNETES_SERVICE_HOST"),
        environment.get("KUBERNETES_SERVICE_PORT"),
    )
    if not host or not (folder / "token").is_file():
        raise CommandError(
            f"No kubeconfig: there is no {source}. Set KUBECONFIG, or say --kubeconfig FILE"
        )
    shown = f"[{host}]" if ":" in host else host
    cluster = {
        "server": f"https://{shown}:{port or 443}",
        "certificate-authority": str(folder / "ca.crt"),
    }
    namespace = (
        (folder / "namespace").read_text().strip() if (folder / "namespace").is_file() else ""
    )
    user = {"tokenFile": str(folder / "token")}
    name = "service account"
    return Access(name, cluster, user, name, namespace or "default", str(folder))
