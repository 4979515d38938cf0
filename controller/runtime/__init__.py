"""A node's Docker engine: containers, networks, images and probes.

Responsible for everything that talks to the engine. It must not know the API server, the ledger or
the life of an instance: callers hand in plans of plain values and get plain values or faults back.
"""
