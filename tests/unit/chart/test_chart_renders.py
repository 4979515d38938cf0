"""The chart as Helm renders it: what runs with which rights, where, and how it is called."""

import re
from typing import Any

import pytest
import yaml

from hack.bed.cache import REPOSITORY
from hack.chart import settings
from hack.chart.values import CHART
from tests.chart.rendered import FLAGS, Object, Rendered, merged, pairwise, render, run

TWO = {"installation": "exam", "crds": {"enabled": False}, "rbac": {"aggregate": False}}
CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
FULL = {
    "manager": {"replicas": 2},
    "podMonitor": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "agent": {"seccompProfiles": {"a.json": "{}"}},
}


@pytest.fixture(scope="module")
def chart() -> Rendered:
    return render()


@pytest.fixture(scope="module")
def full() -> Rendered:
    return render(FULL)


def container(spec: Object) -> Object:
    (only,) = spec["containers"]
    found: Object = only
    return found


def environment(spec: Object) -> dict[str, Any]:
    names = [each["name"] for each in container(spec)["env"]]
    assert len(names) == len(set(names))
    return {
        each["name"]: each.get("value", each.get("valueFrom")) for each in container(spec)["env"]
    }


def agent(found: Rendered) -> Object:
    spec: Object = found.one("DaemonSet")["spec"]["template"]["spec"]
    return spec


def manager(found: Rendered) -> Object:
    spec: Object = found.one("Deployment")["spec"]["template"]["spec"]
    return spec


def test_helm_has_nothing_against_the_chart() -> None:
    done = run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_the_chart_is_of_the_version_of_the_code() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert version is not None
    assert about["appVersion"] == version[1]


# -- security --------------------------------------------------------------------------------------


def test_the_agent_has_the_rights_on_its_host_that_it_needs_and_no_others(chart: Rendered) -> None:
    spec = agent(chart)
    assert (spec["hostNetwork"], spec["hostPID"], spec.get("hostIPC")) == (True, True, None)
    context = container(spec)["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    # Each one's use is in the template; tests/integration/chart runs an agent with these alone.
    assert set(context["capabilities"]["add"]) == {
        "NET_ADMIN",
        "NET_RAW",
        "DAC_OVERRIDE",
        "FOWNER",
        "LINUX_IMMUTABLE",
        "SYS_PTRACE",
        "KILL",
    }
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert "privileged" not in context
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_agent_sees_of_its_host_what_it_needs(chart: Rendered) -> None:
    spec = agent(chart)
    volumes = {each["name"]: each for each in spec["volumes"]}
    mounts = {each["name"]: each for each in container(spec)["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    host = {name: each["hostPath"]["path"] for name, each in volumes.items() if "hostPath" in each}
    assert host == {
        "docker-socket": "/var/run",
        "docker-data": "/var/lib/docker/network",
        "state": "/var/lib/challenge-controller",
        "cgroup": "/sys/fs/cgroup",
        "host-lock": "/run/lock",
        "xtables-lock": "/run/xtables.lock",
    }
    writable = {name for name in host if not mounts[name].get("readOnly")}
    assert writable == {"state", "host-lock", "xtables-lock"}
    # The engine mounts the instances' files from there: it must be the same path for both.
    assert mounts["state"]["mountPath"] == host["state"]
    assert mounts["docker-socket"]["mountPropagation"] == "HostToContainer"


def test_nothing_but_agents_has_anything_of_a_host(full: Rendered) -> None:
    for name, spec in full.pods().items():
        if name.startswith("DaemonSet"):
            continue
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
        assert container(spec)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_one_agent_per_engine_and_time_to_end(chart: Rendered) -> None:
    strategy = chart.one("DaemonSet")["spec"]["updateStrategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    # controller/__main__.py ends in some seconds; docker stop in it takes 10 by default.
    assert agent(chart)["terminationGracePeriodSeconds"] >= 30


# -- settings and probes ---------------------------------------------------------------------------


def test_each_role_is_given_what_concerns_it() -> None:
    found = render(
        {
            "installation": "exam",
            "instances": {"namespaces": ["team-b", "team-a"]},
            "settings": {"pruneAge": "2h", "concurrentLaunches": 4, "nodeLossTimeout": 80000},
            "agent": {"settings": {"pruneAge": "3h", "resolvers": ["1.1.1.1", "9.9.9.9"]}},
            "manager": {"settings": {"memoryOvercommit": 2.5}},
        }
    )
    common = {
        "CHALLENGE_INSTALLATION": "exam",
        "CHALLENGE_NAMESPACES": "team-a,team-b",
        "CHALLENGE_CONTROLLER_NAMESPACE": "challenge-system",
    }
    assert environment(agent(found)) == common | {
        "CHALLENGE_HOST_NODE": {"fieldRef": {"fieldPath": "spec.nodeName"}},
        "CHALLENGE_DOCKER_HOST": "unix:///host/docker/docker.sock",
        "CHALLENGE_STATE_DIR": "/var/lib/challenge-controller-exam",
        "CHALLENGE_METRICS_PORT": "9410",
        "CHALLENGE_METRICS_ADDRESS": "127.0.0.1",
        "CHALLENGE_PRUNE_AGE": "3h",
        "CHALLENGE_CONCURRENT_LAUNCHES": "4",
        "CHALLENGE_RESOLVERS": "1.1.1.1,9.9.9.9",
    }
    assert environment(manager(found)) == common | {
        "CHALLENGE_METRICS_PORT": "9411",
        "CHALLENGE_METRICS_ADDRESS": {"fieldRef": {"fieldPath": "status.podIP"}},
        "CHALLENGE_PRUNE_AGE": "2h",
        "CHALLENGE_CONCURRENT_LAUNCHES": "4",
        "CHALLENGE_NODE_LOSS_TIMEOUT": "80000",
        "CHALLENGE_MEMORY_OVERCOMMIT": "2.5",
    }


def test_numbers_lists_and_switches_are_written_as_the_command_line_reads_them() -> None:
    given: Object = {"agent": {"settings": {"maxInstances": 1000000, "cmgrEnv": True}}}
    given["agent"]["settings"] |= {"resolvers": [], "backoffInitial": 0.5, "diskReserve": 0}
    found = environment(agent(render(given)))
    assert found["CHALLENGE_MAX_INSTANCES"] == "1000000"
    assert found["CHALLENGE_CMGR_ENV"] == "true"
    assert found["CHALLENGE_RESOLVERS"] == ""
    assert found["CHALLENGE_BACKOFF_INITIAL"] == "0.5"
    assert found["CHALLENGE_DISK_RESERVE"] == "0"


def test_every_setting_of_the_model_is_a_value_or_the_charts_own(chart: Rendered) -> None:
    """What the chart sets itself is in the environment of one role at least."""
    given = environment(agent(chart)).keys() | environment(manager(chart)).keys()
    own = {f"CHALLENGE_{name.upper()}" for name in settings.CHART}
    # Derived from others, or by a mount, or from the service account.
    derived = {"CHALLENGE_NODE_NAME", "CHALLENGE_KUBECONFIG", "CHALLENGE_SECCOMP_DIR"}
    assert own - given == derived
    assert given <= own


def test_agents_are_asked_where_they_listen() -> None:
    for expose, address, host in (
        (False, "127.0.0.1", "127.0.0.1"),
        (True, {"fieldRef": {"fieldPath": "status.hostIP"}}, None),
    ):
        spec = agent(render({"agent": {"exposeMetrics": expose, "metricsPort": 9500}}))
        assert environment(spec)["CHALLENGE_METRICS_ADDRESS"] == address
        assert environment(spec)["CHALLENGE_METRICS_PORT"] == "9500"
        (port,) = container(spec)["ports"]
        assert (port["name"], port["containerPort"], port["hostPort"]) == ("metrics", 9500, 9500)
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            asked = container(spec)[probe]["httpGet"]
            assert asked.get("host") == host
            assert asked["path"] == ("/readyz" if probe == "readinessProbe" else "/healthz")


def test_profiles_are_where_the_agent_looks_for_them(full: Rendered) -> None:
    (mount,) = (
        each
        for each in container(agent(full))["volumeMounts"]
        if each["name"] == "seccomp-profiles"
    )
    assert mount["mountPath"] == "/etc/challenge-controller/seccomp"
    assert full.one("ConfigMap")["data"] == {"a.json": "{}"}


def test_an_upgrade_of_the_chart_alone_restarts_no_agent(chart: Rendered) -> None:
    labels = chart.one("DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert not [key for key in labels if key.startswith("helm.sh/") or key.endswith("/version")]


# -- names and places ------------------------------------------------------------------------------


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
