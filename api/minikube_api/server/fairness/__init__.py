"""API priority and fairness (documentation, "API Priority and Fairness"; KEP-1040): no client can keep the others out.

`matching` says which FlowSchema a request belongs to, `levels` holds the seats and queues of a priority level, `fairness` follows
the configuration objects and lets requests through.
"""
