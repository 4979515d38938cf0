"""Instances that the API server takes, and what each is to be told by manager or agent."""

from dataclasses import dataclass
from typing import Any, Final

from tests.integration.world import Object, container, instance

LONG_NAME: Final = ".".join(["x" * 61] * 4)
"""As long as a name can be but for a few characters, which a digit is put behind."""


@dataclass(frozen=True)
class Oddity:
    """An instance, and how its condition Ready ends up; without a reason it is Ready."""

    made: Object
    reason: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        """The instance's name."""
        return str(self.made["metadata"]["name"])


def config_map(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def from_config_map(key: str) -> list[Object]:
    """An environment with one variable from a key of the ConfigMap of `others`."""
    return [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "odd", "key": key}}}]


def others() -> list[Object]:
    """What the oddities refer to."""
    return [config_map("odd", nul="a\0b", long="x" * 200_000, short="x")]


def mounted(volume: Object, path: str = "/mnt") -> Object:
    """The template's and the container's part of one mounted volume."""
    return {
        "template": {"volumes": [{"name": "v"} | volume]},
        "volumeMounts": [{"name": "v", "mountPath": path}],
    }


def oddities(image: str) -> list[Oddity]:
    """All of them."""
    return [*_missing(image), *_impossible(image), *_refused_by_the_engine(image), *_fine(image)]


def _of(image: str, called: str, /, **fields: Any) -> Object:
    template = fields.pop("template", {})
    return instance(called, container(image, **fields), template=template)


def _missing(image: str) -> list[Oddity]:
    absent = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]
    secret = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]
    pulls = {"imagePullSecrets": [{"name": "none"}]}
    item = {"name": "odd", "items": [{"key": "none", "path": "f"}]}
    return [
        Oddity(
            instance("no-challenge", challengeRef={"name": "none"}), "ChallengeNotFound", "'none'"
        ),
        Oddity(_of(image, "no-config-map", env=absent), "ConfigMapNotFound", "'none'"),
        Oddity(_of(image, "no-secret", env=secret), "SecretNotFound", "'none'"),
        Oddity(_of(image, "no-pull-secret", template=pulls), "SecretNotFound", "'none'"),
        Oddity(
            _of(image, "no-key", **mounted({"configMap": item})),
            "ConfigMapNotFound",
            "has no key 'none'",
        ),
        Oddity(
            instance("no-flag", container(image, mountFlag=True)), "InvalidTemplate", "mountFlag"
        ),
        Oddity(instance("no-node", container(image), nodeName="none"), "Unschedulable", "nodeName"),
    ]


def _impossible(image: str) -> list[Oddity]:
    twice = [{"key": "short", "path": "a"}, {"key": "short", "path": "a/b"}]
    long = [{"name": f"V{n}", "value": "x" * 8192} for n in range(60)]
    return [
        Oddity(_of("a:::b", "odd-tag"), "InvalidTemplate", "containers[echo].image"),
        Oddity(_of("UPPER/Case", "odd-image"), "InvalidTemplate", "in small letters"),
        Oddity(
            _of(image, "odd-paths", **mounted({"configMap": {"name": "odd", "items": twice}})),
            "InvalidTemplate",
            "volumes[v].configMap.items",
        ),
        Oddity(_of(image, "too-large", env=long), "InvalidTemplate", "KiB at most"),
        Oddity(
            _of(image, "capability", securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
            "CapabilityNotAllowed",
            "SYS_ADMIN",
        ),
        Oddity(_of(image, "long-value", env=from_config_map("long")), "ConfigMapNotFound", "KiB"),
        Oddity(_of(image, "odd-value", env=from_config_map("nul")), "ConfigMapNotFound", "NUL"),
    ]


def _refused_by_the_engine(image: str) -> list[Oddity]:
    high = [{"name": "nofile", "soft": 2**40, "hard": 2**40}]
    none = [{"name": "stack", "soft": 0, "hard": 0}]
    emoji = {"configMap": {"name": "odd", "items": [{"key": "short", "path": "🙂" * 80}]}}
    return [
        Oddity(_of(image, "odd-command", command=["\x1b[2J$(reboot)\n"]), "LaunchFailed", "reboot"),
        Oddity(_of(image, "many-files", ulimits=high), "LaunchFailed", ""),
        Oddity(_of(image, "no-stack", ulimits=none), "CrashLoop", "exit code 139"),
        Oddity(_of(image, "long-file", **mounted(emoji)), "LaunchFailed", "name too long"),
        Oddity(_of(image, "long-dir", workingDir="/" + "x" * 1000), "LaunchFailed", "too long"),
        Oddity(_of(image, "odd-mount", **mounted({"emptyDir": {}}, "/echo")), "LaunchFailed", ""),
        Oddity(_of(image, "odd-user", securityContext={"runAsUser": 2**31 - 1}), "", ""),
    ]


def _fine(image: str) -> list[Oddity]:
    words = {"exec": {"command": ["/echo", *["x" * 8000] * 16]}}
    path = {"path": "/%zz/../🙂?#", "port": 8080, "httpHeaders": _headers()}
    times = {"initialDelaySeconds": 3600, "tcpSocket": {"port": 9000}}
    long = _of(image, f"{LONG_NAME}-{'0' * 4}", name="x" * 63)
    long["spec"]["user"] = "x" * 128
    long["metadata"]["labels"] = {f"a{n}": "x" * 63 for n in range(500)}
    owned = _of(image, "owned")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "owned", "uid": "none", "controller": True}
    ]
    asked = _of(image, "asked")
    asked["metadata"]["annotations"] = {"challenge-controller.io/restartedAt": "\x1b\n" * 9000}
    return [
        Oddity(long),
        Oddity(owned),
        Oddity(asked),
        Oddity(_of(image, "odd-exec", readinessProbe=words), "ProbeFailing", "command"),
        Oddity(_of(image, "odd-path", readinessProbe={"httpGet": path}), "ProbeFailing", "HTTP"),
        Oddity(_of(image, "odd-times", readinessProbe=times), "ProbePending"),
    ]


def _headers() -> list[Object]:
    return [
        {"name": "Host", "value": "a b:80:80"},
        {"name": "Content-Length", "value": "-1"},
        {"name": "X", "value": "🙂" * 256},
        {"name": "x", "value": ""},
    ]
