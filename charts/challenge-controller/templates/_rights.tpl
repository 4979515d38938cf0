{{/*
A document of rights/*.yaml, by kind and name: what is allowed is written there and only there.
To be called with (list $ "roles.yaml" "ClusterRole" "challenge-agent"); gives YAML.
*/}}
{{- define "challenge-controller.document" -}}
{{- $context := index . 0 }}
{{- $file := index . 1 }}
{{- $kind := index . 2 }}
{{- $name := index . 3 }}
{{- $found := "" }}
{{- range $text := splitList "\n---\n" ($context.Files.Get (printf "rights/%s" $file)) }}
{{- $document := fromYaml $text }}
{{- if and (eq $document.kind $kind) (eq $document.metadata.name $name) }}
{{- $found = toYaml $document }}
{{- end }}
{{- end }}
{{- required (printf "rights/%s has no %s %s" $file $kind $name) $found }}
{{- end }}

{{/* The rules of a role of rights/roles.yaml. */}}
{{- define "challenge-controller.rules" -}}
{{- $context := index . 0 }}
{{- $document := include "challenge-controller.document" (list $context "roles.yaml" (index . 1) (index . 2)) | fromYaml }}
{{- toYaml $document.rules }}
{{- end }}

{{/* The metadata of an object: (list $ "agent") for NAME-agent, with a role's component label. */}}
{{- define "challenge-controller.clusterMetadata" -}}
{{- $context := index . 0 -}}
name: {{ include "challenge-controller.fullname" $context }}-{{ index . 1 }}
labels:
  {{- include "challenge-controller.labels" $context | nindent 2 }}
{{- end }}

{{- define "challenge-controller.metadata" -}}
{{- include "challenge-controller.clusterMetadata" . }}
namespace: {{ (index . 0).Release.Namespace | quote }}
{{- end }}
