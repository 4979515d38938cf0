{{/* The chart's name. */}}
{{- define "challenge-controller.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What the objects are called; cluster-wide ones too, so it is the release's own. */}}
{{- define "challenge-controller.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "challenge-controller.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The labels of all objects. */}}
{{- define "challenge-controller.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "challenge-controller.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: challenge-controller
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What tells this release's pods from others'. */}}
{{- define "challenge-controller.selectorLabels" -}}
app.kubernetes.io/name: {{ include "challenge-controller.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of pods: without versions, for an upgrade of the chart alone is no reason to restart. */}}
{{- define "challenge-controller.podLabels" -}}
{{ include "challenge-controller.selectorLabels" . }}
app.kubernetes.io/part-of: challenge-controller
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The controller's image. */}}
{{- define "challenge-controller.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "challenge-controller.agent.account" -}}
{{- default (printf "%s-agent" (include "challenge-controller.fullname" .)) .Values.agent.serviceAccount.name }}
{{- end }}

{{- define "challenge-controller.manager.account" -}}
{{- default (printf "%s-manager" (include "challenge-controller.fullname" .)) .Values.manager.serviceAccount.name }}
{{- end }}

{{/* Whether the whole cluster is served: "true" or nothing. */}}
{{- define "challenge-controller.everywhere" -}}
{{- if has "*" .Values.instances.namespaces }}true{{ end }}
{{- end }}

{{/* The namespaces served, as a JSON list; empty for all. */}}
{{- define "challenge-controller.namespaces" -}}
{{- if include "challenge-controller.everywhere" . }}[]
{{- else }}
{{- default (list .Release.Namespace) .Values.instances.namespaces | uniq | sortAlpha | toJson }}
{{- end }}
{{- end }}

{{/* The agents' folder on the host. */}}
{{- define "challenge-controller.stateDir" -}}
{{- $default := "/var/lib/challenge-controller" }}
{{- if ne .Values.installation "default" }}
{{- $default = printf "%s-%s" $default .Values.installation }}
{{- end }}
{{- default $default .Values.agent.stateDir }}
{{- end }}

{{/* What follows a node's name in the names of its ChallengeNode and Lease. */}}
{{- define "challenge-controller.nodeSuffix" -}}
{{- if ne .Values.installation "default" }}.{{ .Values.installation }}{{ end }}
{{- end }}

{{/* The group of agents on hosts that are no nodes of the cluster. */}}
{{- define "challenge-controller.agent.group" -}}
challenge-controller.io:agents
{{- if ne .Values.installation "default" }}:{{ .Values.installation }}{{ end }}
{{- end }}

{{/* Agents and whoever else has their rights, as subjects of a binding. */}}
{{- define "challenge-controller.agent.subjects" -}}
- kind: ServiceAccount
  name: {{ include "challenge-controller.agent.account" . }}
  namespace: {{ .Release.Namespace | quote }}
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: {{ include "challenge-controller.agent.group" . }}
{{- end }}

{{- define "challenge-controller.manager.subjects" -}}
- kind: ServiceAccount
  name: {{ include "challenge-controller.manager.account" . }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* Whether agents' metrics are served on the node's address: "true" or nothing. */}}
{{- define "challenge-controller.agent.exposed" -}}
{{- if or .Values.agent.exposeMetrics .Values.podMonitor.enabled }}true{{ end }}
{{- end }}

{{/* The security context of containers that need nothing of the host. */}}
{{- define "challenge-controller.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What pods that run one command of the controller's have in common with managers. */}}
{{- define "challenge-controller.commandPod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.manager.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.manager.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What each process is told about the installation. */}}
{{- define "challenge-controller.commonEnvironment" -}}
- name: CHALLENGE_INSTALLATION
  value: {{ .Values.installation | quote }}
- name: CHALLENGE_CONTROLLER_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: CHALLENGE_NAMESPACES
  value: {{ include "challenge-controller.namespaces" . | fromJsonArray | join "," | quote }}
{{- end }}

{{/* The annotations of what `helm uninstall` makes first; the argument is its turn. */}}
{{- define "challenge-controller.uninstallHook" -}}
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-weight: {{ . | quote }}
  # What has failed stays, to be looked at, until the next try.
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "challenge-controller.uninstallSubject" -}}
- kind: ServiceAccount
  name: {{ include "challenge-controller.fullname" . }}-uninstall
  namespace: {{ .Release.Namespace | quote }}
{{- end }}
