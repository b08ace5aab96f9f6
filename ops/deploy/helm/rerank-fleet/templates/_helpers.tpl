{{/* Names. */}}
{{- define "fleet.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 38 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 38 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fleet.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects pods: the context and a component. */}}
{{- define "fleet.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .group }}
rerank-fleet/group: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "fleet.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The URL of the gateway inside the cluster. It ends in the cluster's domain, a name that the gateway accepts. */}}
{{- define "fleet.gatewayUrl" -}}
http://{{ include "fleet.name" . }}-gateway.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:{{ .Values.service.port }}
{{- end }}

{{/* A worker group with what it does not set itself: YAML, for fromYaml. */}}
{{- define "fleet.group" -}}
{{- mergeOverwrite (dict "model" .root.Values.model) (deepCopy .root.Values.workerDefaults) (deepCopy .group) | toYaml }}
{{- end }}

{{/* Environment variables of a pod from maps of settings; later maps win. */}}
{{- define "fleet.env" -}}
{{- $all := dict }}
{{- range .settings }}{{ $all = mergeOverwrite $all (deepCopy .) }}{{ end }}
- name: RERANK_REDIS_URL
  valueFrom:
    secretKeyRef:
      {{- if .root.Values.valkey.enabled }}
      name: {{ include "fleet.name" .root }}-valkey
      key: url
      {{- else }}
      name: {{ required "redis.existingSecret: name a Secret with the URL of your Redis, or set valkey.enabled for a trial" .root.Values.redis.existingSecret | quote }}
      key: {{ .root.Values.redis.key | quote }}
      {{- end }}
{{- range $name, $value := $all }}
- name: {{ $name }}
  value: {{ include "fleet.text" $value | quote }}
{{- end }}
{{- end }}

{{/* A size as Valkey writes it (kb, mb, gb), in MiB. */}}
{{- define "fleet.mi" -}}
{{- $number := regexFind "^[0-9]+" . | int64 }}
{{- if hasSuffix "gb" . }}{{ mul $number 1024 }}{{ else if hasSuffix "mb" . }}{{ $number }}{{ else }}{{ div $number 1024 }}{{ end }}
{{- end }}

{{/* A value as text. Whole numbers of values are floats, which from a million on would be written as 1e+06. */}}
{{- define "fleet.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{- define "fleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A disruption budget: by one of its fields, as Kubernetes refuses both. The default is maxUnavailable. */}}
{{- define "fleet.budget" -}}
{{- if kindIs "invalid" .minAvailable }}
maxUnavailable: {{ .maxUnavailable | toJson }}
{{- else }}
minAvailable: {{ .minAvailable | toJson }}
{{- end }}
{{- end }}

{{- define "fleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What all pods of the fleet have. enableServiceLinks: a Service called rerank-… would put variables into the pods that
     begin with RERANK_, and the fleet refuses those that it does not know. */}}
{{- define "fleet.pod" -}}
serviceAccountName: {{ include "fleet.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  {{- include "fleet.podSecurity" . | nindent 2 }}
{{- with .of.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .of.affinity }}
affinity: {{ toJson . }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "fleet.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
