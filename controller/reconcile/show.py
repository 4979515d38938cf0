"""What the engine says of an instance's containers, put into the status' draft."""

from typing import Final, Literal

from controller.api import conditions, reasons
from controller.api.instance import ContainerStatus
from controller.reconcile.work import Work
from controller.runtime.containers import ContainerState
from controller.runtime.digests import Digests

State = Literal["Waiting", "Running", "Paused", "Terminated"]

_STATES: Final[dict[str, State]] = {
    "running": "Running",
    "paused": "Paused",
    "created": "Waiting",
    "restarting": "Waiting",
}


def show(work: Work, states: list[ContainerState]) -> None:
    """Draft status.containers, in the template's order; `learn_images` has gone before."""
    before = {status.name: status for status in work.status.containers}
    found = {state.container: state for state in states}
    work.status.containers = [
        _status(
            before.get(container.name),
            found[container.name],
            container.image,
            work.services.images.digests,
        )
        for container in work.template.containers
        if container.name in found
    ]


async def learn_images(work: Work, states: list[ContainerState]) -> None:
    """Know the digests of the images that run; raises EngineUnavailable."""
    await work.services.images.learn(state.image_id for state in states)


def launched(work: Work) -> None:
    """Draft the condition Launched: all containers run, or are paused."""
    work.condition(conditions.LAUNCHED, True, reasons.LAUNCHED)


def _status(
    before: ContainerStatus | None, state: ContainerState, image: str, digests: Digests
) -> ContainerStatus:
    status = before or ContainerStatus(name=state.container, image=image)
    current = _STATES.get(state.state, "Terminated")
    ready = status.ready and current == "Running"
    image_id = digests.named(state.image_id, image) or state.image_id
    return status.model_copy(update={"image_id": image_id, "state": current, "ready": ready})
