"""challenge-controller: a private running copy of a challenge for every player."""

__version__ = "0.1.0"
