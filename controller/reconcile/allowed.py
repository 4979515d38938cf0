"""Which images may be used here: those that the operator's patterns allow.

Must not ask whether an image exists, nor pull one.
"""

from collections.abc import Sequence

from controller.api import image_pattern, image_reference, reasons
from controller.api.challenge import TemplateSpec
from controller.reconcile.result import Failed


def refused_image(template: TemplateSpec, patterns: Sequence[str]) -> Failed | None:
    """Why the first image that may not be used may not; None when all may."""
    for container in template.containers:
        field = f"containers[{container.name}].image"
        try:
            image = image_reference.parse(container.image)
        except ValueError as error:
            return Failed(reasons.INVALID_TEMPLATE, f"{field}: {error}")
        if not any(image_pattern.parse(pattern).matches(image) for pattern in patterns):
            message = (
                f"{field}: {container.image} ({image}) is not allowed here; allowed: "
                f"{', '.join(patterns)}"
            )
            return Failed(reasons.IMAGE_NOT_ALLOWED, message)
    return None
