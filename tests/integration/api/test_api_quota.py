"""Kubernetes' own ResourceQuota on instances: what the API server does with it, and what it needs.

The admission plugin is the API server's. It goes by the quota's status, which the quota controller
of kube-controller-manager writes; there is none here, so the tests write it in its place.
"""

import json
import time
from typing import Any

import pytest

from controller.api.meta import GROUP
from hack.bed.kubeconfig import Kubectl
from tests.api.manifests import manifest
from tests.integration.api.conftest import Client

COUNT = f"count/challengeinstances.{GROUP}"


class Quota:
    """A quota of so many instances in a namespace of its own."""

    def __init__(self, kubectl: Kubectl, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        kubectl("create", "quota", "instances", f"--hard={COUNT}=2", "-n", namespace)

    def counted(self, used: int) -> None:
        """Write the status as the quota controller does once it has counted; returns when it holds.

        The API server goes by a cache, so it is asked, without a trace, until it goes by this.
        """
        status = {"hard": {COUNT: "2"}, "used": {COUNT: str(used)}}
        done = self._client.session.patch(
            self._url("api/v1", "resourcequotas/instances/status"),
            data=json.dumps({"status": status}),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        done.raise_for_status()
        deadline = time.monotonic() + 90
        while self.create("tried", dry_run=True).status_code != (201 if used < 2 else 403):
            assert time.monotonic() < deadline, "the API server does not go by the quota"
            time.sleep(0.02)

    @property
    def used(self) -> str:
        """What the status says is used."""
        answer = self._client.session.get(self._url("api/v1", "resourcequotas/instances"))
        used: str = answer.json()["status"]["used"][COUNT]
        return used

    def create(self, name: str, *, dry_run: bool = False) -> Any:
        """Create an instance; returns the answer."""
        body = manifest("inline", **{"metadata.name": name})
        url = self._url(f"apis/{GROUP}/v1alpha1", "challengeinstances")
        return self._client.session.post(
            url, json=body, params={"dryRun": "All"} if dry_run else {}
        )

    def delete(self, name: str) -> None:
        """Delete an instance."""
        url = self._url(f"apis/{GROUP}/v1alpha1", f"challengeinstances/{name}")
        self._client.session.delete(url).raise_for_status()

    def _url(self, group: str, rest: str) -> str:
        return f"{self._client.url}/{group}/namespaces/{self.namespace}/{rest}"


@pytest.fixture
def quota(kubectl: Kubectl, client: Client, namespace: str) -> Quota:
    """A quota of two instances that nobody has counted yet."""
    return Quota(kubectl, client, namespace)


def test_a_quota_whose_status_nobody_has_written_limits_nothing(quota: Quota) -> None:
    assert [quota.create(f"i-{number}").status_code for number in range(3)] == [201, 201, 201]


def test_a_quota_refuses_one_too_many_by_name_and_number(quota: Quota) -> None:
    quota.counted(2)
    quota.counted(0)

    first, second, third = (quota.create(f"i-{number}") for number in range(3))

    assert (first.status_code, second.status_code, third.status_code) == (201, 201, 403)
    assert third.json()["message"] == (
        f'challengeinstances.{GROUP} "i-2" is forbidden: exceeded quota: instances, '
        f"requested: {COUNT}=1, used: {COUNT}=2, limited: {COUNT}=2"
    )
    assert quota.used == "2"


def test_only_the_quota_controller_takes_deleted_ones_off(quota: Quota) -> None:
    for name in ("a", "b"):
        assert quota.create(name).status_code == 201
    quota.counted(2)
    quota.delete("a")
    assert quota.create("c").status_code == 403

    quota.counted(1)

    assert quota.create("c").status_code == 201
