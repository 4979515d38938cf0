"""The reasons of conditions and Events: each one a documented constant.

Must hold no logic. Users look these words up; one that is taken away or renamed breaks somebody's
alert. The text below each one is for users.
"""

from typing import Final

WAITING_FOR_NODE: Final = "WaitingForNode"
"""No node has been chosen yet."""
SCHEDULED: Final = "Scheduled"
"""A node has been chosen."""
UNSCHEDULABLE: Final = "Unschedulable"
"""No node fits; the message counts the nodes by what is missing. Retried when that changes."""
QUOTA_EXCEEDED: Final = "QuotaExceeded"
"""The user has as many instances as allowed; it goes on when one of them is gone."""
CHALLENGE_NOT_FOUND: Final = "ChallengeNotFound"
"""challengeRef names a Challenge that does not exist; it goes on when it does."""
INVALID_TEMPLATE: Final = "InvalidTemplate"
"""The template asks for what cannot be, or is too large; the message says what. Change the
template."""
CAPABILITY_NOT_ALLOWED: Final = "CapabilityNotAllowed"
"""capabilities.add has one that the operator does not allow; the message lists those allowed."""
IMAGE_NOT_ALLOWED: Final = "ImageNotAllowed"
"""An image matches none of the operator's patterns (CHALLENGE_ALLOWED_IMAGES)."""
SECRET_NOT_FOUND: Final = "SecretNotFound"
"""A Secret or its key does not exist, does not bear the label challenge-controller.io/use:
"true", or does not hold what it is asked for."""
CONFIG_MAP_NOT_FOUND: Final = "ConfigMapNotFound"
"""A ConfigMap or its key does not exist, or does not hold what it is asked for."""
SECCOMP_PROFILE_INVALID: Final = "SeccompProfileInvalid"
"""seccompProfile names a file that the node does not have, or that is no profile; the message names
it. It goes on when the operator has put it right."""
RESERVED: Final = "Reserved"
"""Every port has a host port."""
PORTS_EXHAUSTED: Final = "PortsExhausted"
"""The node has too few free host ports; it goes on when some are released."""
NETWORK_EXHAUSTED: Final = "NetworkExhausted"
"""The node has no free subnet; it goes on when one is released."""
WAITING_FOR_LAUNCH_SLOT: Final = "WaitingForLaunchSlot"
"""It is in its node's queue: a node launches as many at once as it may."""
PULLING_IMAGE: Final = "PullingImage"
"""An image is being pulled."""
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
"""An image cannot be had; the message has the engine's words. Retried with pauses."""
PRE_PULLED: Final = "PrePulled"
"""On a Challenge with prePull: every node has its images."""
LAUNCHING: Final = "Launching"
"""Networks and containers are being made."""
LAUNCHED: Final = "Launched"
"""All containers have been started."""
LAUNCH_FAILED: Final = "LaunchFailed"
"""The engine refused a part of the launch; the message has its words. Retried with pauses."""
LAUNCH_TIMEOUT: Final = "LaunchTimeout"
"""The engine did not answer in time; ports stay held until it is known what it did."""
DOCKER_UNAVAILABLE: Final = "DockerUnavailable"
"""The node's engine does not answer; it goes on when it does."""
FIREWALL_UNAVAILABLE: Final = "FirewallUnavailable"
"""The node's agent cannot keep instances from the host and each other; the message says why and
what to do. Nothing is launched there until it can."""
FIREWALL_OFF: Final = "FirewallOff"
"""On a node: CHALLENGE_FIREWALL=off, so the operator keeps instances from the host and each
other."""
BRIDGE_FILTER_OFF: Final = "BridgeFilterOff"
"""The node's kernel does not filter packets within a bridge (net.bridge.bridge-nf-call-iptables is
0), so instances that share one would reach each other; it goes on when it does."""
LEDGER_UNAVAILABLE: Final = "LedgerUnavailable"
"""The node's ledger cannot be read or written; the message names the file and the remedy."""
LAUNCH_CRASHED: Final = "LaunchCrashed"
"""A launch was cut off (CHALLENGE_LAUNCH_GRACE): what it had made was taken away, and the instance
is launched afresh."""
PROBE_PENDING: Final = "ProbePending"
"""The containers run; the probes have not succeeded yet."""
PROBE_FAILING: Final = "ProbeFailing"
"""A probe fails; the message says which one and how."""
CONTAINER_EXITED: Final = "ContainerExited"
"""A container has ended; the message has its exit code. It is started again by restartPolicy."""
CRASH_LOOP: Final = "CrashLoop"
"""A container has ended too often; it is not started again. Delete the instance, or mend it."""
RESTARTING: Final = "Restarting"
"""The annotation challenge-controller.io/restartedAt has a new value: the containers end and are
launched anew on the same ports."""
STORAGE_EXCEEDED: Final = "StorageExceeded"
"""A container has written more than limits.ephemeral-storage or sizeLimit allow. The instance is
stopped and not started again; its ports stay held until it is deleted or its time is over."""
READY: Final = "Ready"
"""All containers run and answer their probes; on a node: its agent serves."""
SUSPENDED: Final = "Suspended"
"""spec.suspended: the containers are paused, the ports kept."""
EXPIRED: Final = "Expired"
"""Its time is over."""
DELETING: Final = "Deleting"
"""It is being taken away."""
NODE_LOST: Final = "NodeLost"
"""The node has not reported for 40 s; what runs there is not known."""
ALL_NODES_LOST: Final = "AllNodesLost"
"""On a node: no node at all has reported for 40 s, which tells of the way between the nodes and the
API server rather than of the nodes. No instance is marked or moved until one of them reports."""
RESCHEDULED: Final = "Rescheduled"
"""Its node was lost or drained; it moves to another one."""
SCALING: Final = "Scaling"
"""On a ChallengePool: a seed has more or fewer instances than replicas asks for."""
UPDATING: Final = "Updating"
"""On a ChallengePool: instances of an older template are being replaced."""
INSTANCES_NOT_READY: Final = "InstancesNotReady"
"""On a ChallengePool: all instances are there, and some are not ready; the message says why."""
FAILED_CREATE: Final = "FailedCreate"
"""On a ChallengePool: the API server refuses its instances; the message has its words. Retried with
pauses of up to a minute."""
TTL_CUT: Final = "TtlCut"
"""The ttl asked for is above the Challenge's maximum and was cut to it."""
AVAILABLE: Final = "Available"
"""On a node: there is enough of it."""
LOW: Final = "Low"
"""On a node: there is little left; the message says how much."""
CORDONED: Final = "Cordoned"
"""On a node: it serves those that it has, and gets no new instances (spec.unschedulable)."""
DRAINING: Final = "Draining"
"""On a node: it gets no new instances, and those that it has move away (spec.drain). On a
ChallengePool: instances of it move off such a node."""
SHARED_PORTS: Final = "SharedPorts"
"""On a node: its range of host ports has some that others use; the message says which and what to
do."""
STARTING_UP: Final = "StartingUp"
"""On a node: its agent has started, or its engine has not answered since then; nothing is launched
before ledger, engine and API server were compared."""
RECONCILED: Final = "Reconciled"
"""On a node: ledger, engine and API server were compared when its agent started; the message counts
what was found."""
COLLECTED: Final = "Collected"
"""On a node: things of an instance that is not the node's were taken away; the message says what.
Nobody need do anything."""
RESERVED_AGAIN: Final = "ReservedAgain"
"""The node's ledger had lost the ports of an instance that runs; it has them again. The instance
was not touched."""
ORPHANS_HELD: Final = "OrphansHeld"
"""On a node: too many of its instances vanished at once; they are left running for 10 minutes
(CHALLENGE_ORPHAN_HOLD), or until the operator confirms: kubectl challenge confirm-orphans NODE."""
ORPHANS_REMOVED: Final = "OrphansRemoved"
"""An Event on a node: instances that were held as OrphansHeld are torn down, since their time is up
or the operator has confirmed it."""
NAMESPACES_SHARED: Final = "NamespacesShared"
"""An Event on a node of another installation: it serves a namespace that this one serves too, and
each takes the other's instances for its own."""
UNINSTALLED: Final = "Uninstalled"
"""On a node: nothing of the installation is left on it, and its agent does nothing more."""
INSTANCES_LEFT: Final = "InstancesLeft"
"""On a node that is to be uninstalled: it has instances, which have to be deleted first."""
UNINSTALL_FAILED: Final = "UninstallFailed"
"""On a node that is to be uninstalled: something cannot be taken away; the message says what. It is
tried again."""

PROGRESS: Final = frozenset(
    {
        WAITING_FOR_NODE,
        SCHEDULED,
        RESERVED,
        WAITING_FOR_LAUNCH_SLOT,
        PULLING_IMAGE,
        LAUNCHING,
        LAUNCHED,
        PROBE_PENDING,
        RESTARTING,
        SUSPENDED,
        EXPIRED,
        DELETING,
    }
)
"""The reasons of an instance that is not ready though nothing is wrong with it."""
