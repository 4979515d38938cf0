"""The API server's refusals, told as what is missing and what to do next."""

from typing import Any

import requests

from controller.cli.errors import (
    CommandError,
    Conflict,
    NotFound,
    OutOfDate,
    Refused,
    Unreachable,
)
from controller.cli.kubeconfig import Access
from controller.cli.resource import Resource


def complaint(
    answer: requests.Response,
    access: Access,
    verb: str,
    resource: Resource,
    name: str,
    namespace: str,
) -> CommandError:
    """The error that an answer other than 2xx is; the verb is the one that rights have."""
    status = _status(answer)
    message = str(status.get("message") or answer.reason or "no reason given")
    where = f"namespace {namespace}" if namespace else "the whole cluster"
    if answer.status_code == requests.codes.unauthorized:
        return Refused(
            f"The API server {access.server} does not accept the credentials of the user "
            f"{access.user_name or '(none)'} (context {access.context} in {access.source}): "
            "they are missing, wrong or have expired"
        )
    if answer.status_code == requests.codes.forbidden:
        return Refused(
            f"The right to {verb} {resource.full_name} in {where} is missing; the API server "
            f"says: {message}"
        )
    if answer.status_code == requests.codes.not_found:
        return _missing(status, access, resource, name, where)
    if answer.status_code == requests.codes.gone:
        return OutOfDate(message)
    if answer.status_code == requests.codes.conflict:
        return Conflict(f"{resource.kind} {name} has changed meanwhile: {message}")
    if status:
        return CommandError(
            f"The API server refuses to {verb} {resource.full_name} {name}".rstrip()
            + f" ({answer.status_code}): {message}"
        )
    return Unreachable(
        f"What answers at {access.server} (context {access.context} in {access.source}) says "
        f"{answer.status_code} {answer.reason}, which is no Kubernetes API server's answer"
    )


def _missing(
    status: dict[str, Any], access: Access, resource: Resource, name: str, where: str
) -> CommandError:
    if (status.get("details") or {}).get("name"):
        return NotFound(f"There is no {resource.kind} {name!r} in {where}")
    # An object that is missing is named by a Status; a path that nobody serves is not.
    return CommandError(
        f"The API server {access.server} (context {access.context}) does not know "
        f"{resource.full_name}. Is challenge-controller installed there? Its definitions are put "
        "in by: challenge-controller crds | kubectl apply -f -"
    )


def _status(answer: requests.Response) -> dict[str, Any]:
    """The Status that a refusal bears; empty when it bears none."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}
