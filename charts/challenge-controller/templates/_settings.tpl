{{/*
Settings of a role as environment variables: what `settings` says and concerns the role, and what
the role's own say. To be called with (list $ "agent"); the roles of each setting are in
files/settings.json.
*/}}
{{- define "challenge-controller.settings" -}}
{{- $context := index . 0 }}
{{- $role := index . 1 }}
{{- $known := $context.Files.Get "files/settings.json" | fromJson }}
{{- $chosen := dict }}
{{- range $name, $value := $context.Values.settings }}
{{- if has $role (index $known $name) }}
{{- $_ := set $chosen $name $value }}
{{- end }}
{{- end }}
{{- range $name, $value := (index $context.Values $role).settings }}
{{- $_ := set $chosen $name $value }}
{{- end }}
{{- range $name, $value := $chosen }}
- name: CHALLENGE_{{ snakecase $name | upper }}
  value: {{ include "challenge-controller.value" $value | quote }}
{{- end }}
{{- end }}

{{/* A value as the command line takes it. */}}
{{- define "challenge-controller.value" -}}
{{- if kindIs "slice" . }}
{{- join "," . }}
{{- else if kindIs "float64" . }}
{{- /* YAML's numbers are floats here, which would be printed as 1e+06. */}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else }}
{{- toString . }}
{{- end }}
{{- end }}
