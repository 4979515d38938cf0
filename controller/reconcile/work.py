"""One reconcile of one instance: what was read, the status being drafted, and its one write."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.api import conditions, reasons
from controller.api.challenge import TemplateSpec
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.template import template_hash
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, Object
from controller.ledger import Instance as Row
from controller.reconcile import reading
from controller.reconcile.requests import request
from controller.reconcile.services import Services
from controller.runtime import labels
from controller.runtime.containers import ContainerState
from controller.runtime.folders import Folder
from controller.runtime.labels import Owner


@dataclass
class Work:
    """What the steps of one reconcile share; ``status`` is theirs to change."""

    services: Services
    read: Object
    instance: ChallengeInstance
    status: InstanceStatus
    row: Row | None
    now: datetime
    containers: list[ContainerState] = dataclasses.field(default_factory=list)
    just_launched: bool = False
    """Whether this very reconcile has launched the containers."""
    folders: tuple[Folder, ...] = dataclasses.field(default=(), repr=False)
    """What its containers are to mount, looked up for a launch; a flag can be in it."""

    @classmethod
    def of(cls, services: Services, read: Object, row: Row | None) -> "Work":
        """Start from the object as read and the ledger's row; raises Unreadable."""
        instance = reading.parse(ChallengeInstance, read)
        status = instance.status.model_copy(deep=True)
        now = services.clock.now().replace(microsecond=0)
        return cls(services, read, instance, status, row, now)

    @property
    def uid(self) -> str:
        """The instance's uid."""
        return self.instance.metadata.uid

    @property
    def template(self) -> TemplateSpec:
        """The template as resolved; there is one once Admit is done."""
        if self.status.template is None:
            raise RuntimeError(f"{self.instance.key} has no resolved template after Admit")
        return self.status.template

    @property
    def begun(self) -> datetime:
        """When the node began with it, told or not."""
        if self.row is None:
            return self.now
        return datetime.fromtimestamp(self.row.created // 1000, UTC)

    @property
    def owner(self) -> Owner:
        """Whose the instance's containers and networks are, as their labels say it."""
        settings = self.services.settings
        return Owner(
            installation=settings.installation,
            node=settings.node_name,
            uid=self.uid,
            namespace=self.instance.metadata.namespace,
            name=self.instance.metadata.name,
            template_hash=template_hash(self.template),
            restarted=request(self.instance),
        )

    @property
    def is_observed(self) -> bool:
        """Whether the status as read is about the spec as read."""
        return self.instance.status.observed_generation == self.instance.metadata.generation

    @property
    def names(self) -> list[str]:
        """The engine's names of the containers that a launch makes; none before Admit is done."""
        template = self.status.template
        return (
            [labels.container_name(self.uid, c.name) for c in template.containers]
            if template
            else []
        )

    def condition(self, kind: str, value: bool, reason: str, message: str = "") -> None:
        """Set a condition in the draft."""
        conditions.set_condition(
            self.status.conditions,
            kind,
            "True" if value else "False",
            reason,
            message,
            now=self.now,
            observed_generation=self.instance.metadata.generation,
        )

    def drop(self, kind: str) -> None:
        """Take a condition out of the draft."""
        conditions.remove(self.status.conditions, kind)

    def take(self, read: Object) -> None:
        """Go on from the object as a write of ours has just returned it."""
        self.read = read
        # At once: the watch tells of it within milliseconds.
        self.services.seen[read["metadata"]["uid"]] = read["metadata"]["resourceVersion"]
        self.services.recent.note(read)
        self.instance = reading.parse(ChallengeInstance, read)

    async def publish(self) -> None:
        """Write the draft if it says anything new; Conflict when the object has changed since."""
        self.status.observed_generation = self.instance.metadata.generation
        if self.status == self.instance.status:
            return
        before = conditions.get(self.instance.status.conditions, conditions.READY)
        was_ready = self.instance.status.ready_time is not None
        self.take(
            await status_writer.write(
                self.services.cluster, INSTANCES, self.read, self.status.manifest()
            )
        )
        if not was_ready and conditions.is_true(self.status.conditions, conditions.READY):
            self._count()
        self._tell(before.reason if before else "")

    def _count(self) -> None:
        """It is Ready for the first time, and the API server has it."""
        created = self.instance.metadata.creation_timestamp
        if created is not None:
            self.services.metrics.ready((self.now - created).total_seconds())

    def _tell(self, reason_before: str) -> None:
        ready = conditions.get(self.status.conditions, conditions.READY)
        if ready is None or ready.reason == reason_before:
            return
        restarted = any(container.restart_count for container in self.status.containers)
        if restarted and ready.reason in (reasons.READY, reasons.CONTAINER_EXITED):
            return  # told the first time; the status counts the others
        if ready.status == "True":
            message = f"Reachable at {self._endpoints()}" if self.status.ports else "Up"
            self.services.recorder.event(self.read, "Normal", ready.reason, message)
        elif ready.reason not in reasons.PROGRESS:
            self.services.recorder.event(self.read, "Warning", ready.reason, ready.message)

    def _endpoints(self) -> str:
        return ", ".join(port.endpoint for port in self.status.ports)
