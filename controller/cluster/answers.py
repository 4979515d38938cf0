"""What an API server's answer says, and whether it is one of an API server's at all."""

import json
from typing import Any, Final

from controller.cluster.errors import ApiUnavailable

Object = dict[str, Any]

NO_ANSWER: Final = "What came is no answer of an API server"


def parse(data: bytes) -> Object:
    """The object in an answer; raises ApiUnavailable, which quotes nothing: it may be secret.

    Whatever an API server says names its kind, lists and what is served too; a captive portal's
    answer to everything names none.
    """
    try:
        answer = json.loads(data)
    except ValueError:
        raise ApiUnavailable(f"{NO_ANSWER}: expected JSON") from None
    if not isinstance(answer, dict) or "kind" not in answer:
        raise ApiUnavailable(f"{NO_ANSWER}: expected an object with a kind")
    return answer


def status(data: bytes, reason: str | None) -> Object:
    """The Status in a refusal, or what else it says, in one line: a proxy's page has many."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    text = " ".join(data.decode(errors="replace").split())
    return {"message": text[:500] if text and not text.startswith("<") else reason or ""}


def retry_after(response: Any) -> float | None:
    """The seconds after which a refused request may be tried again, if the server has said so."""
    value = response.getheader("Retry-After")
    return float(value) if value and str(value).isdecimal() else None
