"""What users write and read: the four kinds, their conditions and reasons, and their CRDs.

Knows no kopf, no Docker, no SQL and no API client. Everything else may import it.
"""
