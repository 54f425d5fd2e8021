{{/* What a schema cannot say: values that do not go together. */}}
{{- define "llm-gateway-exporter.checks" -}}
{{- $replicated := has .Values.mode (list "statefulset" "deployment") }}
{{- $ours := not (or .Values.configExistingConfigMapName .Values.configExistingSecretName) }}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}
{{- range $ours | ternary .Values.config.sources list }}
  {{- if and .tail $replicated $several }}
    {{- fail (printf "config.sources: %s reads a log, and each of several replicas would count all of it: set replicaCount to 1 and autoscaling.enabled to false, or mode to daemonset" .name) }}
  {{- end }}
  {{- if and .proxy (ne $.Values.mode "sidecar") }}
    {{- if regexMatch "^(127\\.|localhost:|\\[::1\\])" .proxy.listen }}
      {{- fail (printf "config.sources: the proxy %s listens at %s, which nothing outside its pod reaches: write \":%s\"" .name .proxy.listen (regexFind "[0-9]+$" .proxy.listen)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and .Values.configExistingConfigMapName .Values.configExistingSecretName }}
  {{- fail "configExistingConfigMapName and configExistingSecretName: only one can be used" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not $replicated) }}
  {{- fail (printf "autoscaling.enabled: mode %s has no number of replicas" .Values.mode) }}
{{- end }}
{{- if and .Values.persistence.existingClaim $several (eq .Values.mode "statefulset") }}
  {{- fail "persistence.existingClaim: replicas cannot share a state; set replicaCount to 1" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
  {{- fail "ingress.enabled: set ingress.hosts to the names that lead to it" }}
{{- end }}
{{- if and .Values.web.tls (not .Values.web.configExistingSecretName) }}
  {{- fail "web.tls: the certificate is named in a web-config file; set web.configExistingSecretName" }}
{{- end }}
{{- if and (eq .Values.mode "sidecar") .Values.serviceMonitor.enabled }}
  {{- fail "serviceMonitor.enabled: a sidecar has no service; set podMonitor.enabled" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
  {{- fail "serviceMonitor.enabled and podMonitor.enabled: both would count every request twice" }}
{{- end }}
{{- if and (eq .Values.mode "sidecar") .Values.podMonitor.enabled (not .Values.sidecar.podSelector) }}
  {{- fail "podMonitor.enabled: set sidecar.podSelector to labels of the pods that hold the sidecar" }}
{{- end }}
{{- end }}
