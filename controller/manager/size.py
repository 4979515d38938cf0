"""Whether an instance leaves room for its status in the API server's store.

The template stands in the status once more, and what an agent will say comes to it. An object for
which there is no room could never be told about: every write would be refused. Writes nothing.
"""

import json
from typing import Final

from controller.api import reasons
from controller.api.challenge import TemplateSpec
from controller.cluster.client import Object
from controller.manager.placement import Refusal

LIMIT: Final = 512
"""KiB that an instance and its template may have together. etcd takes 1.5 MiB a request by default
(--max-request-bytes); who set which field, conditions, ports and containers need the rest."""


def refusal(body: Object, template: TemplateSpec) -> Refusal | None:
    """Why an instance, as read and without managedFields, is too large; None when it is not."""
    there = len(json.dumps(body, ensure_ascii=False).encode())
    size = there + len(template.model_dump_json(by_alias=True, exclude_none=True).encode())
    if size <= LIMIT * 1024:
        return None
    return Refusal(
        reasons.INVALID_TEMPLATE,
        f"The instance and its template have {size // 1024} KiB together, expected {LIMIT} KiB at "
        "most: put long texts into a ConfigMap or the image, and create the instance anew",
    )
