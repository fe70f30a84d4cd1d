"""Pods and pod templates: defaults, validation, update rules, subresources, warnings.

Source: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation/validation.go, pkg/registry/core/pod and pkg/api/pod.
"""
