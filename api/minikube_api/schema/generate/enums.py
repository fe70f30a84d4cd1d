"""Values of the API's enumerated string types, which the published schemas leave out: Go type -> values, as the API reference lists
them. `kubectl explain` shows them.
"""

from __future__ import annotations

_CORE = "k8s.io/api/core/v1."
_APPS = "k8s.io/api/apps/v1."
_BATCH = "k8s.io/api/batch/v1."

ENUMS = {
    name: tuple(values.split())
    for name, values in {
        _CORE + "PersistentVolumeReclaimPolicy": "Delete Recycle Retain",
        _CORE + "PersistentVolumeMode": "Block Filesystem",
        _CORE + "PersistentVolumeAccessMode": "ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod",
        _CORE + "PersistentVolumePhase": "Available Bound Failed Pending Released",
        _CORE + "PersistentVolumeClaimPhase": "Bound Lost Pending",
        _CORE + "Protocol": "SCTP TCP UDP",
        _CORE + "MountPropagationMode": "Bidirectional HostToContainer None",
        _CORE + "URIScheme": "HTTP HTTPS",
        _CORE + "PullPolicy": "Always IfNotPresent Never",
        _CORE + "TerminationMessagePolicy": "FallbackToLogsOnError File",
        _CORE + "RestartPolicy": "Always Never OnFailure",
        _CORE + "DNSPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
        _CORE + "ServiceType": "ClusterIP ExternalName LoadBalancer NodePort",
        _CORE + "ServiceAffinity": "ClientIP None",
        _CORE + "ServiceInternalTrafficPolicy": "Cluster Local",
        _CORE + "ServiceExternalTrafficPolicy": "Cluster Local",
        _CORE + "IPFamilyPolicy": "PreferDualStack RequireDualStack SingleStack",
        _CORE + "TaintEffect": "NoExecute NoSchedule PreferNoSchedule",
        _CORE + "TolerationOperator": "Equal Exists Gt Lt",
        _CORE + "NodeSelectorOperator": "DoesNotExist Exists Gt In Lt NotIn",
        _CORE + "UnsatisfiableConstraintAction": "DoNotSchedule ScheduleAnyway",
        _CORE + "NodeInclusionPolicy": "Honor Ignore",
        _CORE + "PreemptionPolicy": "Never PreemptLowerPriority",
        _CORE + "SeccompProfileType": "Localhost RuntimeDefault Unconfined",
        _CORE + "AppArmorProfileType": "Localhost RuntimeDefault Unconfined",
        _CORE + "PodFSGroupChangePolicy": "Always OnRootMismatch",
        _CORE + "ProcMountType": "Default Unmasked",
        _CORE + "SupplementalGroupsPolicy": "Merge Strict",
        _CORE + "NamespacePhase": "Active Terminating",
        _CORE + "NodePhase": "Pending Running Terminated",
        _CORE + "PodPhase": "Failed Pending Running Succeeded Unknown",
        _CORE + "PodQOSClass": "BestEffort Burstable Guaranteed",
        _CORE + "ScopeSelectorOperator": "DoesNotExist Exists In NotIn",
        _CORE + "ResourceQuotaScope": (
            "BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating VolumeAttributesClass"
        ),
        _APPS + "DeploymentStrategyType": "Recreate RollingUpdate",
        _APPS + "DaemonSetUpdateStrategyType": "OnDelete RollingUpdate",
        _APPS + "StatefulSetUpdateStrategyType": "OnDelete RollingUpdate",
        _APPS + "PodManagementPolicyType": "OrderedReady Parallel",
        _BATCH + "ConcurrencyPolicy": "Allow Forbid Replace",
        _BATCH + "CompletionMode": "Indexed NonIndexed",
        _BATCH + "PodFailurePolicyAction": "Count FailIndex FailJob Ignore",
        _BATCH + "PodFailurePolicyOnExitCodesOperator": "In NotIn",
        _BATCH + "PodReplacementPolicy": "Failed TerminatingOrFailed",
        "k8s.io/api/networking/v1.PolicyType": "Egress Ingress",
        "k8s.io/api/networking/v1.PathType": "Exact ImplementationSpecific Prefix",
        "k8s.io/api/discovery/v1.AddressType": "FQDN IPv4 IPv6",
        "k8s.io/api/storage/v1.VolumeBindingMode": "Immediate WaitForFirstConsumer",
        "k8s.io/api/admissionregistration/v1.FailurePolicyType": "Fail Ignore",
        "k8s.io/api/admissionregistration/v1.MatchPolicyType": "Equivalent Exact",
        "k8s.io/api/admissionregistration/v1.SideEffectClass": "None NoneOnDryRun Some Unknown",
        "k8s.io/api/admissionregistration/v1.ReinvocationPolicyType": "IfNeeded Never",
    }.items()
}
