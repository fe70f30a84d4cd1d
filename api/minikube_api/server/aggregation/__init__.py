"""API aggregation: group versions that another server serves behind a Service (documentation, "Kubernetes API Aggregation Layer").

`following` knows the APIServices, `checking` says which are available, `forwarding` hands requests through, `registering` keeps
the local APIServices of custom resources, `authentication_info` tells aggregated servers whom to trust.
"""
