"""Who waits for a node, who has what of which node, and who has how much: kept in step.

Two tell it: the watch, which is behind at times, and placement, which knows what it has written.
Nothing is given back before it is sure that nobody has it.
"""

from collections.abc import Callable

from controller.api.instance import ChallengeInstance
from controller.cluster.client import Object
from controller.cluster.version import version_of
from controller.manager.assignments import Assigned, Assignments
from controller.manager.inhand import InHand
from controller.manager.pending import Pending
from controller.manager.quota import Quota, was_placed


class Accounts:
    """The books of placement."""

    def __init__(
        self,
        pending: Pending,
        assignments: Assignments,
        quota: Quota,
        freed: Callable[[], None],
    ) -> None:
        """``freed`` is called when an instance that waits may fit now."""
        self.pending, self.assignments, self.quota = pending, assignments, quota
        self._freed = freed
        self._hand = InHand()

    def known(self) -> set[str]:
        """The uids of all instances that are in the books."""
        return self.assignments.by_uid.keys() | self.pending.uids()

    # -- as the watch has it -------------------------------------------------------------------

    def waits(self, instance: ChallengeInstance, body: Object) -> bool:
        """An instance has no node; false when a placement of ours is newer than that."""
        uid, user = instance.metadata.uid, instance.spec.user or ""
        if self._hand.is_ahead(uid, version_of(body)):
            return False
        freed = self.assignments.drop(uid)
        if was_placed(instance):
            self.quota.take(uid, user)
        else:
            freed |= self.quota.release(uid)
        self.pending.put(body, first=was_placed(instance))
        self._tell(freed)
        return True

    def has_node(self, instance: ChallengeInstance, node: str) -> bool:
        """An instance has a node; false when a placement of ours is newer than that."""
        uid, version = instance.metadata.uid, instance.metadata.resource_version
        if self._hand.is_ahead(uid, int(version) if version.isdecimal() else 0):
            return False
        self._hand.settled(uid)
        self.pending.drop(uid)
        self.quota.take(uid, instance.spec.user or "")
        self._tell(self.assignments.put(uid, self.assignments.observed(instance, node)))
        return True

    def gone(self, uid: str) -> None:
        """An instance is gone, or will be without ever having had a node."""
        self._hand.settled(uid)
        self.pending.drop(uid)
        freed = self.quota.release(uid)
        self._tell(self.assignments.drop(uid) or freed)

    # -- as placement has it -------------------------------------------------------------------

    def begin(self, instance: ChallengeInstance, body: Object, assigned: Assigned) -> None:
        """A placement is being written: it counts from now on."""
        uid = instance.metadata.uid
        self.assignments.put(uid, assigned)
        self.quota.take(uid, instance.spec.user or "")
        self._hand.begin(uid, version_of(body))

    def landed(self, uid: str, written: Object) -> None:
        """The placement is written."""
        if uid in self.pending:  # else the watch was faster
            self._hand.landed(uid, version_of(written))
            self.pending.served(uid)

    def unanswered(self, uid: str) -> None:
        """Nobody knows whether it is: it goes on counting until the watch tells."""
        self._hand.unanswered(uid)

    def refused(self, instance: ChallengeInstance) -> None:
        """The API server has not taken it."""
        uid = instance.metadata.uid
        if not self._hand.refused(uid) or uid not in self.pending:
            return  # the watch brings what it is, or has
        freed = self.assignments.drop(uid)
        if not was_placed(instance):
            freed |= self.quota.release(uid)
        self._tell(freed)

    def forget_versions(self) -> None:
        """What the watch brings next counts, whatever was written: the store has gone back."""
        self._hand.clear()

    def _tell(self, freed: bool) -> None:
        if freed and len(self.pending):
            self._freed()
