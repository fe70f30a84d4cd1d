"""CustomResourceDefinitions at work: records in the Registry, conditions, conversion, clean-up.

`serving.Definitions` follows the definitions and keeps the Registry; `resources.custom_resources` makes the records.
"""
