"""CEL, the Common Expression Language, as Kubernetes runs it: parsed, type-checked against declarations, compiled to closures.

`compiling.compile(text, variables, ...)` gives a `Program`; nothing here is imported before a definition or policy has expressions.
Source: the CEL language definition and cel-go's and k8s.io/apiserver's function libraries.
"""
