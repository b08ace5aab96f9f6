{{/* Resources of a worker pod: those that are given, or a core a process and what was measured of memory. What is given
     of a limit or a request alone stands for both, since a request above its limit is refused. */}}
{{- define "fleet.workerResources" -}}
{{- $memory := printf "%dMi" (add 128 .modelMi (mul .processes 160)) }}
{{- $requests := .resources.requests | default dict }}
{{- $limits := .resources.limits | default dict }}
{{- $most := $limits.memory | default $requests.memory | default $memory }}
{{- $computed := dict "requests" (dict "cpu" ($limits.cpu | default (toString .processes)) "memory" $most) "limits" (dict "memory" $most) }}
{{- mergeOverwrite $computed (deepCopy .resources) | toYaml }}
{{- end }}

{{/* The group that scales, if one does: `group: …` as YAML. Refuses what the one signal of the gateway can't serve. */}}
{{- define "fleet.scaled" -}}
{{- $scaled := list }}
{{- $of := dict }}
{{- range .Values.workers }}
{{- $group := include "fleet.group" (dict "root" $ "group" .) | fromYaml }}
{{- if hasKey $of $group.name }}{{ fail (printf "workers: two groups are called %s; give each a name of its own" $group.name) }}{{ end }}
{{- $_ := set $of $group.name $group }}
{{- if ne $group.autoscaling.type "none" }}{{ $scaled = append $scaled $group }}{{ end }}
{{- end }}
{{- range $group := $scaled }}
{{- $scaling := $group.autoscaling }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "workers: %s: autoscaling.minReplicas is %v, above maxReplicas %v" $group.name $scaling.minReplicas $scaling.maxReplicas) }}
{{- end }}
{{- $least := int $scaling.minReplicas }}
{{- if and (eq $scaling.type "hpa") (eq $least 0) }}
{{- fail (printf "workers: %s: autoscaling.minReplicas is 0, which only KEDA can; set 1 or type keda" $group.name) }}
{{- end }}
{{- $idles := not (kindIs "invalid" $scaling.idleReplicas) }}
{{- if and $idles (eq $least 0) }}
{{- fail (printf "workers: %s: autoscaling.idleReplicas is 0 and so is minReplicas, which says it already; leave idleReplicas out" $group.name) }}
{{- end }}
{{- if ne $group.model $.Values.model }}
{{- fail (printf "workers: %s serves %s, and the signal is of the gateway's model, %s; set autoscaling.type none there, or serve that model by a release of its own" $group.name $group.model $.Values.model) }}
{{- end }}
{{- range $other := $of }}
{{- if and (ne $other.name $group.name) (eq $other.model $group.model) }}
{{- fail (printf "workers: %s is scaled, and %s serves the same model; the signal counts the processes of both, so make them one group" $group.name $other.name) }}
{{- end }}
{{- end }}
{{- if and (eq $scaling.type "keda") (eq $scaling.trigger "metrics-api") $.Values.gateway.keysSecret (not $.Values.gateway.publicMetrics) }}
{{- fail (printf "workers: %s: KEDA has no key for /autoscale; set gateway.publicMetrics, or the trigger prometheus" $group.name) }}
{{- end }}
{{- if and (or $idles (eq $least 0)) (eq $.Values.gateway.readiness "fleet") }}
{{- fail (printf "workers: %s may scale to zero, and gateway.readiness is fleet: without a worker no gateway would be ready, so neither the job that wakes the fleet nor KEDA would reach one; set gateway.readiness process" $group.name) }}
{{- end }}
{{- end }}
{{- with $scaled }}
{{- dict "group" (first .) | toYaml }}
{{- end }}
{{- end }}

{{/* How fast pods go: a new one must load its model, so a wish for fewer has to last. */}}
{{- define "fleet.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownStabilizationS }}
  policies:
    - {type: Pods, value: {{ .scaleDownPodsPerMinute }}, periodSeconds: 60}
{{- end }}
