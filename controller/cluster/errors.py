"""What the API server can answer other than yes, as exceptions.

Each carries the server's own words; none carries a request's body, which could hold a secret.
"""

from typing import Any


class ApiError(Exception):
    """The API server refused a request: HTTP status, machine-readable reason and message."""

    def __init__(self, status: int, reason: str, message: str, details: dict[str, Any]) -> None:
        """Keep the parts of the server's Status object."""
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        self.reason = reason
        self.details = details

    def names(self, name: str) -> bool:
        """Whether this is a Status about the object of that name, not about a missing path."""
        return self.details.get("name") == name


class NotFound(ApiError):
    """404: no such object, or no such path; see ``names``."""


class Conflict(ApiError):
    """409: the object is not, or no longer, the one that the request was computed from."""


class Invalid(ApiError):
    """422: the object breaks the schema or one of its rules."""


class TooLarge(ApiError):
    """The object has no room in the server's store, however often it is tried."""


class Forbidden(ApiError):
    """401 or 403: the credentials do not allow it."""


class Unauthorized(Forbidden):
    """401: the API server does not know who asks, such as one whose token has ended."""


class ApiUnavailable(ApiError):
    """No answer, or one that says to come again later (429, 5xx)."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        """``retry_after`` is in seconds, where the server named a time."""
        super().__init__(status, "Unavailable", message, {})
        self.retry_after = retry_after


class WrongCluster(ApiUnavailable):
    """Another cluster answers than the one that is meant, which is as good as no answer."""


_BY_STATUS = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
}
# What etcd and its client say of what is beyond etcd's --max-request-bytes; a 500 is around it.
_TOO_LARGE = ("request is too large", "trying to send message larger than max")


def from_status(status: int, body: dict[str, Any], retry_after: float | None) -> ApiError:
    """Turn an HTTP status and a Status object into the exception for it."""
    message = str(body.get("message", ""))
    if status == 500 and any(words in message for words in _TOO_LARGE):
        return TooLarge(status, "TooLarge", message, {})
    if status == 429 or status >= 500:
        return ApiUnavailable(message or f"HTTP {status}", status=status, retry_after=retry_after)
    kind = _BY_STATUS.get(status, ApiError)
    return kind(status, str(body.get("reason", "")), message, body.get("details") or {})
