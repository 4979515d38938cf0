"""The container image of challenge-controller, made without any engine and without a base image.

It has two layers: what comes from Debian and from PyPI, which is kept in the user's cache, and the
project's own code. Nothing of the machine that it is made on gets in: the files are those of the
packages, compiled by the Python that is among them, and all bear the time 0.
"""
