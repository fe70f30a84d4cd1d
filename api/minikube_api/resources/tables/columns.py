"""Column definitions of each kind, as a compact table.

One line a column: `Name | type | priority | description`. A description that starts with a dot is a field of the kind
(`.spec.type`); its text is looked up in the schema when a Table is asked for. `=Age` and the like are columns shared by kinds.
Kinds that are not listed have Name and Created At, as in apiserver's default table convertor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from minikube_api.resources.resource import Column
from minikube_api.schema import builtin
from minikube_api.schema.model import Schema

_SHARED = {
    "Name": "Name | string:name | 0 | .metadata.name",
    "Age": "Age | string | 0 | .metadata.creationTimestamp",
    "Created": "Created At | date | 0 | .metadata.creationTimestamp",
    "Containers": "Containers | string | 1 | Names of each container in the template.",
    "Images": "Images | string | 1 | Images referenced by each container in the template.",
    "Selector": "Selector | string | 1 | .spec.selector",
    "ParamKind": "ParamKind | string | 0 | ParamKind specifies the kind of resources used to parameterize this policy",
    "Restarts": "Restarts | string | 0 | The number of times the containers in this pod have been restarted "
    "and when the last container in this pod has restarted.",
    "Webhooks": "Webhooks | integer | 0 | Webhooks indicates the number of webhooks registered in this configuration",
    "PolicyName": "PolicyName | string | 0 | PolicyName indicates the policy definition which the policy binding binded to",
    "ParamRef": "ParamRef | string | 0 | ParamRef indicates the param resource which sets the configration param",
}

#: plural.group -> lines; both versions of a kind share them
_COLUMNS = {
    "pods.": """
        =Name
        Ready | string | 0 | The aggregate readiness state of this pod for accepting traffic.
        Status | string | 0 | The aggregate status of the containers in this pod.
        =Restarts
        =Age
        IP | string | 1 | .status.podIP
        Node | string | 1 | .spec.nodeName
        Nominated Node | string | 1 | .status.nominatedNodeName
        Readiness Gates | string | 1 | .spec.readinessGates
    """,
    "podtemplates.": """
        =Name
        Containers | string | 0 | Names of each container in the template.
        Images | string | 0 | Images referenced by each container in the template.
        Pod Labels | string | 0 | The labels for the pod template.
    """,
    "poddisruptionbudgets.policy": """
        =Name
        Min Available | string | 0 | The minimum number of pods that must be available.
        Max Unavailable | string | 0 | The maximum number of pods that may be unavailable.
        Allowed Disruptions | integer | 0 | Calculated number of pods that may be disrupted at this time.
        =Age
    """,
    "replicationcontrollers.": """
        =Name
        Desired | integer | 0 | .spec.replicas
        Current | integer | 0 | .status.replicas
        Ready | integer | 0 | .status.readyReplicas
        =Age
        =Containers
        =Images
        =Selector
    """,
    "replicasets.apps": """
        =Name
        Desired | integer | 0 | .spec.replicas
        Current | integer | 0 | .status.replicas
        Ready | integer | 0 | .status.readyReplicas
        =Age
        =Containers
        =Images
        =Selector
    """,
    "daemonsets.apps": """
        =Name
        Desired | integer | 0 | .status.desiredNumberScheduled
        Current | integer | 0 | .status.currentNumberScheduled
        Ready | integer | 0 | .status.numberReady
        Up-to-date | integer | 0 | .status.updatedNumberScheduled
        Available | integer | 0 | .status.numberAvailable
        Node Selector | string | 0 | .spec.template.spec.nodeSelector
        =Age
        =Containers
        =Images
        =Selector
    """,
    "deployments.apps": """
        =Name
        Ready | string | 0 | Number of the pod with ready state
        Up-to-date | string | 0 | .status.updatedReplicas
        Available | string | 0 | .status.availableReplicas
        =Age
        =Containers
        =Images
        =Selector
    """,
    "statefulsets.apps": """
        =Name
        Ready | string | 0 | Number of the pod with ready state
        =Age
        =Containers
        =Images
    """,
    "controllerrevisions.apps": """
        =Name
        Controller | string | 0 | Controller of the object
        Revision | string | 0 | .revision
        =Age
    """,
    "jobs.batch": """
        =Name
        Status | string | 0 | Status of the job.
        Completions | string | 0 | .status.succeeded
        Duration | string | 0 | Time required to complete the job.
        =Age
        =Containers
        =Images
        =Selector
    """,
    "cronjobs.batch": """
        =Name
        Schedule | string | 0 | .spec.schedule
        Timezone | string | 0 | .spec.timeZone
        Suspend | boolean | 0 | .spec.suspend
        Active | integer | 0 | .status.active
        Last Schedule | string | 0 | .status.lastScheduleTime
        =Age
        =Containers
        =Images
        Selector | string | 1 | .spec.jobTemplate.spec.selector
    """,
    "horizontalpodautoscalers.autoscaling": """
        =Name
        Reference | string | 0 | .spec.scaleTargetRef
        Targets | string | 0 | .spec.metrics
        MinPods | string | 0 | .spec.minReplicas
        MaxPods | string | 0 | .spec.maxReplicas
        Replicas | string | 0 | .status.currentReplicas
        =Age
    """,
    "services.": """
        =Name
        Type | string | 0 | .spec.type
        Cluster-IP | string | 0 | .spec.clusterIP
        External-IP | string | 0 | .spec.externalIPs
        Port(s) | string | 0 | .spec.ports
        =Age
        =Selector
    """,
    "endpoints.": """
        =Name
        Endpoints | string | 0 | .subsets
        =Age
    """,
    "endpointslices.discovery.k8s.io": """
        =Name
        AddressType | string | 0 | .addressType
        Ports | string | 0 | .ports
        Endpoints | string | 0 | .endpoints
        =Age
    """,
    "ingresses.networking.k8s.io": """
        =Name
        Class | string | 0 | The name of the IngressClass resource that should be used for additional configuration
        Hosts | string | 0 | Hosts that incoming requests are matched against before the ingress rule
        Address | string | 0 | Address is a list containing ingress points for the load-balancer
        Ports | string | 0 | Ports of TLS configurations that open
        =Age
    """,
    "ingressclasses.networking.k8s.io": """
        =Name
        Controller | string | 0 | Controller that is responsible for handling this class
        Parameters | string | 0 | A reference to a resource with additional parameters
        =Age
    """,
    "networkpolicies.networking.k8s.io": """
        =Name
        Pod-Selector | string | 0 | .spec.podSelector
        =Age
    """,
    "ipaddresses.networking.k8s.io": """
        =Name
        ParentRef | string | 0 | .spec.parentRef
    """,
    "servicecidrs.networking.k8s.io": """
        =Name
        CIDRs | string | 0 | .spec.cidrs
        =Age
    """,
    "nodes.": """
        =Name
        Status | string | 0 | The status of the node
        Roles | string | 0 | The roles of the node
        =Age
        Version | string | 0 | .status.nodeInfo.kubeletVersion
        Internal-IP | string | 1 | .status.addresses
        External-IP | string | 1 | .status.addresses
        OS-Image | string | 1 | .status.nodeInfo.osImage
        Kernel-Version | string | 1 | .status.nodeInfo.kernelVersion
        Container-Runtime | string | 1 | .status.nodeInfo.containerRuntimeVersion
    """,
    "events.": """
        Last Seen | string | 0 | .lastTimestamp
        Type | string | 0 | .type
        Reason | string | 0 | .reason
        Object | string | 0 | .involvedObject
        Subobject | string | 1 | .involvedObject.fieldPath
        Source | string | 1 | .source
        Message | string | 0 | .message
        First Seen | string | 1 | .firstTimestamp
        Count | string | 1 | .count
        Name | string:name | 1 | .metadata.name
    """,
    "namespaces.": """
        =Name
        Status | string | 0 | The status of the namespace
        =Age
    """,
    "secrets.": """
        =Name
        Type | string | 0 | .type
        Data | string | 0 | .data
        =Age
    """,
    "configmaps.": """
        =Name
        Data | string | 0 | .data
        =Age
    """,
    "serviceaccounts.": """
        =Name
        =Age
    """,
    "persistentvolumes.": """
        =Name
        Capacity | string | 0 | .spec.capacity
        Access Modes | string | 0 | .spec.accessModes
        Reclaim Policy | string | 0 | .spec.persistentVolumeReclaimPolicy
        Status | string | 0 | .status.phase
        Claim | string | 0 | .spec.claimRef
        StorageClass | string | 0 | StorageClass of the pv
        VolumeAttributesClass | string | 0 | VolumeAttributesClass of the pv
        Reason | string | 0 | .status.reason
        =Age
        VolumeMode | string | 1 | .spec.volumeMode
    """,
    "persistentvolumeclaims.": """
        =Name
        Status | string | 0 | .status.phase
        Volume | string | 0 | .spec.volumeName
        Capacity | string | 0 | .status.capacity
        Access Modes | string | 0 | .status.accessModes
        StorageClass | string | 0 | StorageClass of the pvc
        VolumeAttributesClass | string | 0 | VolumeAttributesClass of the pvc
        =Age
        VolumeMode | string | 1 | .spec.volumeMode
    """,
    "componentstatuses.": """
        =Name
        Status | string | 0 | Status of the component conditions
        Message | string | 0 | Message of the component conditions
        Error | string | 0 | Error of the component conditions
    """,
    "resourcequotas.": """
        =Name
        Request | string | 0 | Request represents a minimum amount of cpu/memory that a container may consume.
        Limit | string | 0 | Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.
        =Age
    """,
    "rolebindings.rbac.authorization.k8s.io": """
        =Name
        Role | string | 0 | .roleRef
        =Age
        Users | string | 1 | Users in the roleBinding
        Groups | string | 1 | Groups in the roleBinding
        ServiceAccounts | string | 1 | ServiceAccounts in the roleBinding
    """,
    "clusterrolebindings.rbac.authorization.k8s.io": """
        =Name
        Role | string | 0 | .roleRef
        =Age
        Users | string | 1 | Users in the clusterRoleBinding
        Groups | string | 1 | Groups in the clusterRoleBinding
        ServiceAccounts | string | 1 | ServiceAccounts in the clusterRoleBinding
    """,
    "certificatesigningrequests.certificates.k8s.io": """
        =Name
        =Age
        SignerName | string | 0 | .spec.signerName
        Requestor | string | 0 | .spec.request
        RequestedDuration | string | 0 | .spec.expirationSeconds
        Condition | string | 0 | .status.conditions
    """,
    "leases.coordination.k8s.io": """
        =Name
        Holder | string | 0 | .spec.holderIdentity
        =Age
    """,
    "storageclasses.storage.k8s.io": """
        =Name
        Provisioner | string | 0 | .provisioner
        ReclaimPolicy | string | 0 | .reclaimPolicy
        VolumeBindingMode | string | 0 | .volumeBindingMode
        AllowVolumeExpansion | string | 0 | .allowVolumeExpansion
        =Age
    """,
    "volumeattributesclasses.storage.k8s.io": """
        =Name
        DriverName | string | 0 | .driverName
        =Age
    """,
    "volumeattachments.storage.k8s.io": """
        =Name
        Attacher | string:name | 0 | .spec.attacher
        PV | string | 0 | .spec.source.persistentVolumeName
        Node | string | 0 | .spec.nodeName
        Attached | boolean | 0 | .status.attached
        =Age
    """,
    "csinodes.storage.k8s.io": """
        =Name
        Drivers | integer | 0 | Drivers indicates the number of CSI drivers registered on the node
        =Age
    """,
    "csidrivers.storage.k8s.io": """
        =Name
        AttachRequired | boolean | 0 | .spec.attachRequired
        PodInfoOnMount | boolean | 0 | .spec.podInfoOnMount
        StorageCapacity | boolean | 0 | .spec.storageCapacity
        TokenRequests | string | 0 | .spec.tokenRequests
        RequiresRepublish | boolean | 0 | .spec.requiresRepublish
        Modes | string | 0 | .spec.volumeLifecycleModes
        =Age
    """,
    "priorityclasses.scheduling.k8s.io": """
        =Name
        Value | integer | 0 | .value
        Global-Default | boolean | 0 | .globalDefault
        =Age
        PreemptionPolicy | string | 0 | .preemptionPolicy
    """,
    "runtimeclasses.node.k8s.io": """
        =Name
        Handler | string | 0 | .handler
        =Age
    """,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": """
        =Name
        =Webhooks
        =Age
    """,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": """
        =Name
        =Webhooks
        =Age
    """,
    "validatingadmissionpolicies.admissionregistration.k8s.io": """
        =Name
        Validations | integer | 0 | Validations indicates the number of validation rules defined in this configuration
        =ParamKind
        =Age
    """,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": """
        =Name
        Mutations | integer | 0 | Mutation indicates the number of mutations rules defined in this configuration
        =ParamKind
        =Age
    """,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": """
        =Name
        =PolicyName
        =ParamRef
        =Age
    """,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": """
        =Name
        =PolicyName
        =ParamRef
        =Age
    """,
    "flowschemas.flowcontrol.apiserver.k8s.io": """
        =Name
        PriorityLevel | string | 0 | .spec.priorityLevelConfiguration
        MatchingPrecedence | string | 0 | .spec.matchingPrecedence
        DistinguisherMethod | string | 0 | .spec.distinguisherMethod
        =Age
        MissingPL | string | 0 | references a broken or non-existent PriorityLevelConfiguration
    """,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": """
        =Name
        Type | string | 0 | .spec.type
        NominalConcurrencyShares | string | 0 | .spec.limited.nominalConcurrencyShares
        Queues | string | 0 | .spec.limited.limitResponse.queuing.queues
        HandSize | string | 0 | .spec.limited.limitResponse.queuing.handSize
        QueueLengthLimit | string | 0 | .spec.limited.limitResponse.queuing.queueLengthLimit
        =Age
    """,
    "apiservices.apiregistration.k8s.io": """
        =Name
        Service | string | 0 | The reference to the service that hosts this API endpoint.
        Available | string | 0 | Whether this service is available.
        =Age
    """,
    "deviceclasses.resource.k8s.io": """
        =Name
        =Age
    """,
    "resourceclaims.resource.k8s.io": """
        =Name
        State | string | 0 | A summary of the current state (allocated, pending, reserved, etc.).
        =Age
    """,
    "resourceclaimtemplates.resource.k8s.io": """
        =Name
        =Age
    """,
    "resourceslices.resource.k8s.io": """
        =Name
        Node | string | 0 | .spec.nodeName
        Driver | string | 0 | .spec.driver
        Pool | string | 0 | .spec.pool
        =Age
    """,
}
_DEFAULT = "=Name\n=Created"

#: kinds whose texts come from one version, whichever is asked for
_DESCRIBED_BY = {"events": ("", "v1", "Event"), "horizontalpodautoscalers": ("autoscaling", "v2", "HorizontalPodAutoscaler")}


def columns(plural: str, group: str, load_schema: Callable[[], Schema]) -> tuple[Column, ...]:
    """The columns of a kind; descriptions are read from its schema when they are asked for."""
    lines = _lines("events." if plural == "events" else f"{plural}.{group}")
    if plural in _DESCRIBED_BY:
        load_schema = partial(builtin.load, *_DESCRIBED_BY[plural])
    return tuple(_column(line, load_schema) for line in lines)


@cache
def _lines(key: str) -> tuple[str, ...]:
    lines = (line.strip() for line in _COLUMNS.get(key, _DEFAULT).strip().splitlines())
    return tuple(_SHARED[line[1:]] if line.startswith("=") else line for line in lines)


def _column(line: str, load_schema: Callable[[], Schema]) -> Column:
    name, kind, priority, text = (part.strip() for part in line.split("|", 3))
    type_, _, format_ = kind.partition(":")
    description = (lambda: _description(load_schema(), text)) if text.startswith(".") else text
    return Column(name, type_, format_, int(priority), description)


def _description(schema: Schema, path: str) -> str:
    """The description of the field at `.a.b`."""
    *parents, field = path[1:].split(".")
    for part in parents:
        schema = schema.fields[part]
    return builtin.descriptions(schema.definition).get(field, "")
