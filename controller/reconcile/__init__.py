"""The life of an instance on its node: from desired and actual state to the next step."""
