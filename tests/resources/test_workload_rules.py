"""DaemonSets, Jobs and CronJobs: what is refused and in which words, what changes, what is warned of."""

from __future__ import annotations

from typing import Any

import pytest
from resource_factories import deployment, texts

from minikube_api.resources.apps import cron_schedules, index_intervals
from minikube_api.resources.resource import WriteContext

Body = dict[str, Any]


def job(name: str = "j", template: Body | None = None, **spec: Any) -> Body:
    containers = [{"name": "app", "image": "registry.example/app:1"}]
    return {
        "metadata": {"name": name},
        "spec": {"template": template or {"spec": {"restartPolicy": "Never", "containers": containers}}, **spec},
    }


def indexed(**spec: Any) -> Body:
    made = job()
    made["spec"] |= {"completionMode": "Indexed", "completions": 3, **spec}
    return made


def failure_rule(**rule: Any) -> Body:
    return indexed(podFailurePolicy={"rules": [{"action": "Count", **rule}]})


def cron(schedule: str = "@daily", **spec: Any) -> Body:
    return {"metadata": {"name": "c"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": job()["spec"]}, **spec}}


RULE = "spec.podFailurePolicy.rules[0]"
SUCCESS = "spec.successPolicy"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(job(), [], id="minimal"),
        pytest.param(
            job(managedBy="Bad/x"),
            [
                "spec.managedBy: Invalid value: \"Bad\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
                "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ],
            id="manager-domain",
        ),
        pytest.param(
            job(backoffLimitPerIndex=1, maxFailedIndexes=1),
            [
                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
                "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
            ],
            id="per-index-of-plain-job",
        ),
        pytest.param(
            indexed(maxFailedIndexes=4),
            [
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
            ],
            id="failed-indexes",
        ),
        pytest.param(
            indexed(completions=100_001, parallelism=20_000, backoffLimitPerIndex=1),
            [
                "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used "
                "with backoff limit per index",
            ],
            id="many-completions",
        ),
        pytest.param(
            job(name="a.b", completionMode="Indexed", completions=3),
            ['metadata.name: Invalid value: "a.b": will not able to create pod with invalid DNS label: a.b-2'], id="pod-names",
        ),
        pytest.param(
            failure_rule(onExitCodes={"operator": "In", "values": [3, 0, 3]}),
            [
                f"{RULE}.onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
                f"{RULE}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                f"{RULE}.onExitCodes.values[2]: Duplicate value: 3",
            ],
            id="exit-codes",
        ),
        pytest.param(
            failure_rule(action="FailIndex", onPodConditions=[{"type": "T", "status": "Maybe"}]),
            [
                f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
                f'{RULE}.onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
            ],
            id="fail-index",
        ),
        pytest.param(
            failure_rule(action="", onExitCodes={"values": [1]}),
            [
                f'{RULE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
                f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
            ],
            id="missing-enums",
        ),
        pytest.param(
            job(successPolicy={"rules": [{"succeededCount": 1}]}),
            [f'{SUCCESS}: Invalid value: {{"Rules":[{{"SucceededIndexes":null,"SucceededCount":1}}]}}: requires indexed completion mode'],
            id="success-of-plain-job",
        ),
        pytest.param(
            indexed(successPolicy={"rules": [{"succeededIndexes": "0-1,5"}, {"succeededIndexes": "0-1", "succeededCount": 9}, {}]}),
            [
                f'{SUCCESS}.rules[0].succeededIndexes: Invalid value: "0-1,5": error parsing succeededIndexes: too large index: "5"',
                f"{SUCCESS}.rules[1].succeededCount: Invalid value: 9: must be less than or equal to 2 (the number of indexes in the "
                "specified succeededIndexes field)",
                f"{SUCCESS}.rules[1].succeededCount: Invalid value: 9: must be less than or equal to 3 (the number of specified completions)",
                f"{SUCCESS}.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            ],
            id="success-rules",
        ),
        pytest.param(
            job(manualSelector=True),
            [
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
            ],
            id="no-selector",
        ),
    ],
)  # fmt: skip
def test_a_job_is_refused_in_kubernetes_words(kind, body, expected):
    assert texts(kind("jobs", "batch").create(body)[1]) == sorted(expected)


def test_labels_that_a_job_takes_from_its_template_are_one_map_with_the_generated_ones(kind):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": job()["spec"]["template"]["spec"]}
    taken, _ = kind("jobs", "batch").create(job(template=template))
    assert taken["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"
    own, _ = kind("jobs", "batch").create({**job(template=template), "metadata": {"name": "j", "labels": {"a": "b"}}})
    assert own["metadata"]["labels"] == {"a": "b"}


DONE = [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]
START, END = "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z"


@pytest.mark.parametrize(
    ("before", "status", "expected"),
    [
        pytest.param({}, {"startTime": START, "completionTime": END, "conditions": DONE, "succeeded": 3}, [], id="complete"),
        pytest.param(
            {}, {"conditions": DONE},
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.startTime: Required value: startTime is required for finished job",
            ],
            id="complete-without-times",
        ),
        pytest.param(
            {}, {"startTime": START, "conditions": [{"type": "Failed", "status": "True"}], "active": 1},
            [
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            ],
            id="failed-too-early",
        ),
        pytest.param(
            {"startTime": START, "failed": 2, "succeeded": 1}, {"failed": 1},
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.startTime: Required value: startTime cannot be removed for unsuspended job",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            ],
            id="taken-back",
        ),
        pytest.param(
            {}, {"completedIndexes": "0,2-1", "failedIndexes": "0"},
            [
                'status.completedIndexes: Invalid value: "0,2-1": error parsing completedIndexes: non-increasing order, previous: 2, current: 1',
                'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
                'status.failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0',
            ],
            id="indexes",
        ),
    ],
)  # fmt: skip
def test_a_jobs_status_is_held_to_its_rules(kind, before, status, expected):
    jobs = kind("jobs", "batch")
    old, _ = jobs.create(indexed())
    old["status"] = before
    assert texts(jobs.update({**old, "status": status}, old, "status")[1]) == sorted(expected)


@pytest.mark.parametrize(
    ("old", "change", "expected"),
    [
        pytest.param(indexed(parallelism=3), {"completions": 4, "parallelism": 4}, [], id="elastic"),
        pytest.param(
            indexed(), {"completions": 4},
            ["spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"], id="completions-alone",
        ),
        pytest.param(
            failure_rule(onExitCodes={"operator": "In", "values": [1]}), {"podFailurePolicy": None},
            ["spec.podFailurePolicy: Invalid value: null: field is immutable"], id="failure-policy",
        ),
    ],
)  # fmt: skip
def test_only_what_is_free_of_a_job_may_change(kind, old, change, expected):
    jobs = kind("jobs", "batch")
    made, errors = jobs.create(old)
    assert errors == []
    assert texts(jobs.update({**made, "spec": {**made["spec"], **change}}, made)[1]) == expected


@pytest.mark.parametrize(
    ("field", "value", "suspended", "free"),
    [
        pytest.param("nodeSelector", {"a": "b"}, True, True, id="node-selector"),
        pytest.param("nodeSelector", {"a": "b"}, False, False, id="node-selector-while-running"),
        pytest.param("affinity", {"nodeAffinity": {}}, True, True, id="node-affinity"),
        pytest.param("affinity", {"podAffinity": {}}, True, False, id="pod-affinity"),
        pytest.param("hostname", "h", True, False, id="hostname"),
    ],
)
def test_a_suspended_jobs_scheduling_directives_may_change(kind, field, value, suspended, free):
    jobs = kind("jobs", "batch")
    made, _ = jobs.create(job(suspend=suspended))
    template = made["spec"]["template"]
    new = {**made["spec"], "template": {**template, "spec": {**template["spec"], field: value}}}
    assert (jobs.update({**made, "spec": new}, made)[1] == []) == free


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        pytest.param("*/5 * * * *", "", id="steps"),
        pytest.param("0,,30 1-3/2 ? JAN mon-FRI", "", id="names-and-empty-parts"),
        pytest.param("@every 1h30m", "", id="every"),
        pytest.param("CRON_TZ=Europe/Berlin 0 0 * * *", "", id="zone"),
        pytest.param("TZ=Mars 0 0 * * *", "provided bad location Mars: unknown time zone Mars", id="bad-zone"),
        pytest.param("@fortnightly", "unrecognized descriptor: @fortnightly", id="descriptor"),
        pytest.param("* * * *", "expected exactly 5 fields, found 4: [* * * *]", id="fields"),
        pytest.param("60 * * * *", "end of range (60) above maximum (59): 60", id="above"),
        pytest.param("* * 0 * *", "beginning of range (0) below minimum (1): 0", id="below"),
        pytest.param("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1", id="backwards"),
        pytest.param("*/0 * * * *", "step of range should be a positive number: */0", id="no-step"),
        pytest.param("1-2-3 * * * *", "too many hyphens: 1-2-3", id="hyphens"),
        pytest.param("*/2/3 * * * *", "too many slashes: */2/3", id="slashes"),
        pytest.param("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax', id="word"),
    ],
)
def test_schedules_are_read_as_the_cron_library_does(schedule, problem):
    assert cron_schedules.problem(schedule) == problem


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(cron(timeZone="Europe/Berlin"), [], id="fine"),
        pytest.param(
            cron("TZ=UTC 0 0 * * *"),
            ['spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead'], id="tz",
        ),
        pytest.param(
            cron(timeZone="local"),
            [
                'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in '
                "https://www.iana.org/time-zones",
                'spec.timeZone: Invalid value: "local": unknown time zone local',
            ],
            id="local",
        ),
        pytest.param(cron(timeZone="../x"), ['spec.timeZone: Invalid value: "../x": unknown time zone ../x'], id="path"),
    ],
)  # fmt: skip
def test_a_cron_job_is_refused_in_kubernetes_words(kind, body, expected):
    assert texts(kind("cronjobs", "batch").create(body)[1]) == sorted(expected)


def test_an_old_schedule_with_a_zone_may_stay_but_no_zone_may_come(kind):
    jobs = kind("cronjobs", "batch")
    old, _ = jobs.create(cron("TZ=UTC 0 0 * * *"))
    assert texts(jobs.update({**old, "spec": {**old["spec"], "suspend": True}}, old)[1]) == []
    problem = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
    assert texts(jobs.update({**old, "spec": {**old["spec"], "timeZone": "UTC"}}, old)[1]) == [
        f'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": {problem}'
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", 0, id="none"),
        pytest.param("0,2-4", 4, id="intervals"),
        pytest.param("1,1", "non-increasing order, previous: 1, current: 1", id="twice"),
        pytest.param("a", 'cannot convert string to integer for index: "a"', id="word"),
        pytest.param(
            "1-2-3",
            "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
            id="three-parts",
        ),
    ],
)
def test_intervals_of_indexes_are_counted_or_refused(text, expected):
    if isinstance(expected, int):
        assert index_intervals.count(text, 5) == expected
        return
    with pytest.raises(ValueError) as caught:
        index_intervals.count(text, 5)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("one", "other", "lowest"),
    [
        pytest.param("0-2", "3-5", None, id="apart"),
        pytest.param("0,4-9", "2-3,7", 7, id="inside"),
        pytest.param("0-999999998", "999999998", 999_999_998, id="long-intervals-are-not-walked"),
        pytest.param("0,x", "0-1", 0, id="unreadable-left-out"),
    ],
)
def test_the_lowest_common_index_is_found(one, other, lowest):
    assert index_intervals.overlap(one, other, 1_000_000_000) == lowest


def test_a_daemon_sets_template_generation_is_the_servers(kind):
    sets = kind("daemonsets", "apps")
    key = "deprecated.daemonset.template.generation"
    made, errors = sets.create(deployment())
    assert errors == [] and made["metadata"]["annotations"] == {key: "1"}
    wanted = {**made, "metadata": {**made["metadata"], "annotations": {key: "7"}}}
    same, _ = sets.update(wanted, made)
    assert same["metadata"]["annotations"] == {key: "1"}
    template = {**made["spec"]["template"], "metadata": {"labels": {"app": "web", "b": "c"}}}
    changed, _ = sets.update({**wanted, "spec": {**made["spec"], "template": template}}, made)
    assert changed["metadata"]["annotations"] == {key: "2"} and changed["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("plural", "body", "expected"),
    [
        pytest.param(
            "daemonsets", deployment(updateStrategy={"type": "Fast"}),
            ['spec.updateStrategy: Unsupported value: {"Type":"Fast","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete"'],
            id="daemonset-strategy",
        ),
        pytest.param(
            "deployments", deployment(selector={"matchExpressions": [{"key": "a", "operator": "Odd"}]}),
            [
                'spec.selector.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator',
                'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Odd"}]}: invalid label selector',
            ],
            id="selector-that-cannot-be-read",
        ),
        pytest.param(
            "statefulsets", deployment(selector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            [
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"In"}]}',
            ],
            id="selector-without-values",
        ),
    ],
)  # fmt: skip
def test_a_workloads_selector_and_strategy_are_refused_in_kubernetes_words(kind, plural, body, expected):
    assert texts(kind(plural, "apps").create(body)[1]) == sorted(expected)


@pytest.mark.parametrize(
    ("plural", "group", "body", "warned"),
    [
        pytest.param("deployments", "apps", deployment("a.b"), True, id="deployment"),
        pytest.param("replicasets", "apps", deployment("a.b"), True, id="replicaset"),
        pytest.param("daemonsets", "apps", deployment("a.b"), False, id="daemonset"),
        pytest.param("jobs", "batch", job("a.b"), True, id="job"),
        pytest.param("jobs", "batch", job("a-b"), False, id="job-label"),
    ],
)
def test_a_name_that_is_no_host_name_is_warned_of(kind, plural, group, body, warned):
    found = kind(plural, group)
    made, _ = found.create(body)
    context = WriteContext(user="u", now=START)
    start = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: ["
    assert [text.startswith(start) for text in found.strategy.warnings(context, made, None)] == [True] * warned
    assert found.strategy.warnings(context, made, made) == []


def test_a_new_stateful_set_is_checked_with_the_volumes_of_its_claims(kind):
    sets = kind("statefulsets", "apps")
    mounts = [{"name": "data", "mountPath": "/data"}]
    template = deployment()["spec"]["template"]
    container = {**template["spec"]["containers"][0], "volumeMounts": mounts}
    template["spec"] = {**template["spec"], "containers": [container]}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    made, errors = sets.create(deployment(serviceName="s", template=template, volumeClaimTemplates=[claim]))
    assert errors == []
    missing = 'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    assert texts(sets.create(deployment(serviceName="s", template=template))[1]) == [missing]
    # an update leaves the template's pod alone, as an old set may have been made before the rule
    old = {**made, "spec": {key: value for key, value in made["spec"].items() if key != "volumeClaimTemplates"}}
    assert sets.update({**old, "spec": {**old["spec"], "replicas": 3}}, old)[1] == []


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        pytest.param({"replicas": 2}, True, id="spec"),
        pytest.param({}, False, id="labels-alone"),
    ],
)
def test_a_template_is_warned_of_again_when_the_spec_changes(kind, change, warned):
    found = kind("deployments", "apps")
    template = deployment()["spec"]["template"]
    template["spec"] = {**template["spec"], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    old, _ = found.create(deployment(template=template))
    new = {**old, "spec": {**old["spec"], **change}, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    new, _ = found.update(new, old)
    texts_of = found.strategy.warnings(WriteContext(user="u", now=START), new, old)
    assert [text.split(":")[0] for text in texts_of] == ["spec.template.spec.nodeSelector[beta.kubernetes.io/os]"] * warned


@pytest.mark.parametrize(
    ("plural", "name"),
    [
        pytest.param("statefulsets", "status.readyReplicas", id="statefulset"),
        pytest.param("replicasets", "readyReplicas", id="replicaset"),
    ],
)
def test_a_status_cannot_have_more_available_than_ready_replicas(kind, plural, name):
    found = kind(plural, "apps")
    old, errors = found.create(deployment())
    assert errors == []
    status = {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}
    wanted = [f"status.availableReplicas: Invalid value: 2: cannot be greater than {name}"]
    assert texts(found.update({**old, "status": status}, old, "status")[1]) == wanted
