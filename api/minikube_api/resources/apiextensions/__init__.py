"""CustomResourceDefinitions: the kind's own rules, those of schemas and those of structural schemas."""
