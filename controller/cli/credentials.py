"""A user's credentials, made into what pykube takes: a token, or files with a certificate and key.

pykube would write keys into files of the temporary folder that everybody can read and whose names
can be foreseen, does not know `tokenFile`, and knows `exec` only in versions that have gone out of
use. So keys lie in a private folder of this process, and `exec` is carried out here. Must not keep
anything longer than the folder that it is handed.
"""

import base64
import binascii
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from controller.cli.errors import CommandError
from controller.cli.kubeconfig import Access, Entry

EXEC_VERSIONS: Final = (
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
)
FILES: Final = ("certificate-authority", "client-certificate", "client-key")


def prepared(access: Access, folder: Path) -> tuple[Entry, Entry]:
    """The cluster and the user as pykube takes them; `folder` holds their files.

    Runs the program of an `exec` entry, and reads a `tokenFile`: a later call brings fresh ones.
    Raises CommandError.
    """
    cluster, user = dict(access.cluster), dict(access.user)
    if user.get("tokenFile"):
        user["token"] = _text(Path(user.pop("tokenFile")), access).strip()
    if program := user.pop("exec", None):
        user |= _run(program, access)
    for entry in (cluster, user):
        for key in FILES:
            _as_file(entry, key, folder, access)
    return cluster, user


def _as_file(entry: Entry, key: str, folder: Path, access: Access) -> None:
    """Have a file for what is inline, and see that one that is named can be read."""
    inline = entry.pop(f"{key}-data", None)
    if inline:
        try:
            content = base64.b64decode(inline, validate=False)
        except (binascii.Error, ValueError, TypeError) as error:
            raise CommandError(
                f"{key}-data of the context {access.context} in {access.source}: expected base64"
            ) from error
        path = folder / key
        path.write_bytes(content)
        entry[key] = str(path)
    elif entry.get(key):
        try:
            Path(entry[key]).open("rb").close()
        except OSError as error:
            raise CommandError(
                f"{key} of the context {access.context} in {access.source} cannot be read: {error}"
            ) from error


def _text(path: Path, access: Access) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise CommandError(
            f"tokenFile of the context {access.context} in {access.source} cannot be read: {error}"
        ) from error


def _run(program: Entry, access: Access) -> Entry:
    """Ask the program of an `exec` entry; returns a token, or a certificate and its key."""
    version, command = program.get("apiVersion"), str(program.get("command", ""))
    where = f"The exec program {command!r} of the user {access.user_name!r} in {access.source}"
    if version not in EXEC_VERSIONS:
        raise CommandError(f"{where} has apiVersion {version!r}: expected {EXEC_VERSIONS[0]}")
    environment = os.environ | {
        str(entry["name"]): str(entry["value"]) for entry in program.get("env") or []
    }
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(_question(program, access))
    try:
        done = subprocess.run(
            [command, *map(str, program.get("args") or [])],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
    except FileNotFoundError as error:
        hint = program.get("installHint")
        raise CommandError(f"{where} is not there" + (f":\n{hint}" if hint else "")) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"{where} has failed: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{where} has not answered with an ExecCredential") from error
    return _answer(status, where)


def _question(program: Entry, access: Access) -> Any:
    spec: Entry = {"interactive": sys.stdin.isatty() and program.get("interactiveMode") != "Never"}
    if program.get("provideClusterInfo"):
        known = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
        spec["cluster"] = {key: access.cluster[key] for key in known if key in access.cluster}
        inline = access.cluster.get("certificate-authority-data")
        if not inline and (file := access.cluster.get("certificate-authority")):
            inline = base64.b64encode(Path(file).read_bytes()).decode()
        if inline:
            spec["cluster"]["certificate-authority-data"] = inline
    return {"apiVersion": program["apiVersion"], "kind": "ExecCredential", "spec": spec}


def _answer(status: Any, where: str) -> Entry:
    if not isinstance(status, dict):
        raise CommandError(f"{where} has answered without a status")
    if status.get("clientCertificateData") and status.get("clientKeyData"):
        pair = {"certificate": status["clientCertificateData"], "key": status["clientKeyData"]}
        return {
            f"client-{part}-data": base64.b64encode(text.encode()).decode()
            for part, text in pair.items()
        }
    if status.get("token"):
        return {"token": status["token"]}
    raise CommandError(f"{where} has answered with neither a token nor a certificate and its key")
