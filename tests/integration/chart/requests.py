"""The requests of accounts, from the API server's audit log, beside the rules that allow them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.rendered import Rendered

Object = dict[str, Any]


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a kind of objects, or a request for it; `namespace` is empty for the cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    """Of rules with resourceNames only."""

    def __str__(self) -> str:
        """For people, and for lists in tests."""
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" {self.name}" if self.name else "")


@dataclass(frozen=True)
class Request:
    """What an account has asked for, and with what code it was answered."""

    right: Right
    code: int


def granted(found: Rendered, account: str) -> Iterator[Right]:
    """Every right that the bindings of a release give to an account."""
    roles = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each["rules"]
        for each in found.all("ClusterRole") + found.all("Role")
    }
    for binding in found.all("ClusterRoleBinding") + found.all("RoleBinding"):
        if account not in [each["name"] for each in binding["subjects"]]:
            continue
        place = binding["metadata"].get("namespace")
        kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        for rule in roles[kind, place if kind == "Role" else None, name]:
            yield from _rights(rule, place or "")


def asked(log: Path, account: str) -> list[Request]:
    """What a service account of this name has asked for, discovery aside."""
    found = []
    # The last line may not be whole yet: the API server goes on.
    for line in log.read_text().rpartition("\n")[0].splitlines():
        event = json.loads(line)
        if not event["user"]["username"].endswith(f":{account}") or "objectRef" not in event:
            continue
        about = event["objectRef"]
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        right = Right(
            event["verb"],
            about.get("apiGroup", ""),
            resource,
            about.get("namespace", "") if resource != "namespaces" else "",
            about.get("name", ""),
        )
        found.append(Request(right, event["responseStatus"]["code"]))
    return found


def unused(rights: Iterable[Right], requests: Iterable[Request]) -> set[str]:
    """The rights by which nothing has been asked for, in no namespace."""
    used = {request.right for request in requests}
    return {
        str(right)
        for right in rights
        if not any(
            (one.verb, one.group, one.resource) == (right.verb, right.group, right.resource)
            and right.name in ("", one.name)
            for one in used
        )
    }


def _rights(rule: Object, namespace: str) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield Right(verb, group, resource, namespace, name)
