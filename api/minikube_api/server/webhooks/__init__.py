"""Dynamic admission control by webhooks (documentation, "Dynamic Admission Control"); neighbours: `server/admission` holds the chain.

`hooks` follows the configurations, `matching` decides pure questions, `versions` gives objects in the version a rule names,
`reviews` words AdmissionReviews, `calling` makes the HTTPS calls, `plugins` are the two admission plug-ins.
"""
