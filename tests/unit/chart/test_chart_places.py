"""The chart's objects: how they are called, where they are, and who may do what there."""

import pytest

from tests.chart.rendered import FLAGS, FULL, Object, Rendered, container, merged, pairwise, render

TWO = {"installation": "exam", "crds": {"enabled": False}, "rbac": {"aggregate": False}}
CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def test_two_releases_share_no_object_of_the_clusters() -> None:
    one = render(FULL, release="ctf", namespace="ctf")
    two = render(merged(FULL, TWO), release="exam", namespace="exam")
    names = [
        {(each["kind"], each["metadata"]["name"]) for each in found.objects if is_wide(each)}
        for found in (one, two)
    ]
    assert len(names[0]) > 10
    assert names[0] & names[1] == set()


@pytest.mark.parametrize("values", pairwise(FLAGS), ids=lambda values: "")
def test_everything_is_in_the_releases_namespace_or_in_one_that_is_served(values: Object) -> None:
    served = set(values["instances"]["namespaces"]) or {"challenge-system"}
    for each in render(values).objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "challenge-controller", name
        for key, value in values["commonLabels"].items():
            assert each["metadata"]["labels"][key] == value
        place = each["metadata"].get("namespace")
        if is_wide(each):
            assert place is None, name
        elif each["kind"] in ("Role", "RoleBinding"):
            # Events about ChallengeNodes are in `default`, and nothing else of ours is.
            assert place in served | {"challenge-system", "default"}, name
            assert place != "default" or each["metadata"]["name"].endswith("-events")
        else:
            assert place == "challenge-system", name


def is_wide(found: Object) -> bool:
    return found["kind"] in CLUSTER_WIDE


def test_secrets_are_read_in_the_namespaces_served_only() -> None:
    for namespaces, wide in ((["team-a"], False), (["*"], True)):
        found = render({"instances": {"namespaces": namespaces}})
        readers = {
            role["metadata"]["name"]
            for role in found.all("ClusterRole") + found.all("Role")
            for rule in role["rules"]
            if "secrets" in rule["resources"]
        }
        assert readers == {"challenge-controller-agent-instances"}
        bound = [
            (each["kind"], each["metadata"].get("namespace"))
            for each in found.all("ClusterRoleBinding") + found.all("RoleBinding")
            if each["roleRef"]["name"] in readers
        ]
        assert bound == [("ClusterRoleBinding", None) if wide else ("RoleBinding", "team-a")]


def test_what_uninstalls_is_there_only_meanwhile(chart: Rendered) -> None:
    hooks = [
        each
        for each in chart.objects
        if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-delete"
    ]
    assert all(each["metadata"]["name"].endswith(("uninstall", "-instances")) for each in hooks)
    turn = {
        each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks
    }
    assert turn["ServiceAccount"] < turn["RoleBinding"] < turn["Job"]
    for each in hooks:
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"
    job = chart.one("Job")["spec"]
    assert container(job["template"]["spec"])["args"] == ["uninstall", "--timeout=240s"]
    # Helm waits for 5 minutes unless it is told otherwise.
    assert job["activeDeadlineSeconds"] <= 300
    off = render({"uninstall": {"enabled": False}})
    assert not [each for each in off.objects if each["metadata"]["name"].endswith("uninstall")]


def test_roles_of_kubernetes_own_are_added_to(chart: Rendered) -> None:
    rules = {
        end: [
            (resource, verb)
            for role in chart.all("ClusterRole")
            if role["metadata"]["labels"].get(f"rbac.authorization.k8s.io/aggregate-to-{end}")
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        ]
        for end in ("view", "edit", "admin")
    }
    assert set(rules["view"]) < set(rules["edit"]) < set(rules["admin"])
    assert {verb for _, verb in rules["view"]} == {"get", "list", "watch"}
    # A status, and with it what places instances, is nobody's to write but the controller's.
    assert not [resource for resource, _ in rules["admin"] if "/" in resource]
    assert ("challengenodes", "update") not in rules["edit"]


def test_definitions_are_kept_unless_somebody_says_otherwise(chart: Rendered) -> None:
    assert len(chart.all("CustomResourceDefinition")) == 4
    for keep in (True, False):
        for each in render({"crds": {"keep": keep}}).all("CustomResourceDefinition"):
            said = each["metadata"].get("annotations", {})
            assert said == ({"helm.sh/resource-policy": "keep"} if keep else {})
    assert render({"crds": {"enabled": False}}).all("CustomResourceDefinition") == []


def test_two_managers_have_a_budget_and_one_has_none(chart: Rendered, full: Rendered) -> None:
    assert chart.all("PodDisruptionBudget") == []
    budget = full.one("PodDisruptionBudget")["spec"]
    labels = full.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1


def test_the_monitor_and_the_network_policy_pick_our_pods(full: Rendered) -> None:
    for kind in ("DaemonSet", "Deployment"):
        labels = full.one(kind)["spec"]["template"]["metadata"]["labels"]
        wanted = full.one("PodMonitor")["spec"]["selector"]
        assert wanted["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/component"] in wanted["matchExpressions"][0]["values"]
    policy = full.one("NetworkPolicy")["spec"]
    labels = full.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["ingress"][0]["ports"] == [{"port": 9411, "protocol": "TCP"}]
