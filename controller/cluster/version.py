"""Which of two objects as read is the newer one."""

from typing import Any


def version_of(body: dict[str, Any]) -> int:
    """The object's resourceVersion as a number; 0 when it has none that is one.

    Kubernetes promises since 1.35 that those of one resource can be compared so; before, etcd's
    revision was behind them all the same.
    """
    text = str(body["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdecimal() else 0
