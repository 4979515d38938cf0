"""The kubectl plugin `kubectl challenge`: what an operator sees and does from their own machine.

It knows the API alone and talks to nothing but the API server. It decides nothing that the manager
decides: it writes what the operator wants into a ChallengeNode's spec, and watches.
"""
