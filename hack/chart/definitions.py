"""The chart's templates of the CustomResourceDefinitions, from those in crds/.

Adds what a release needs about them and nothing else: labels, whether they are kept, whether they
are there at all.
"""

from controller.api import crd

HEAD = """\
{{- /* Generated from controller/api by hack/generate; do not edit. */}}
{{- if .Values.crds.enabled }}
"""
METADATA = """\
metadata:
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
  labels:
    {{- include "challenge-controller.labels" . | nindent 4 }}
"""


def templates() -> dict[str, str]:
    """Return the text of each template by its file's name."""
    return {name: _template(name, text) for name, text in crd.manifests().items()}


def _template(name: str, text: str) -> str:
    if "{{" in text:
        raise ValueError(f"crds/{name} holds {{{{, which Helm would take for its own")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    before, found, after = body.partition("metadata:\n")
    if not found or "metadata:\n" in before:
        raise ValueError(f"crds/{name} has no metadata")
    return HEAD + before + METADATA + after.rstrip("\n") + "\n{{- end }}\n"
