{{/* An endpoint of a ServiceMonitor or PodMonitor: a list of the context and its values. */}}
{{- define "llm-gateway-exporter.endpoint" -}}
{{- $context := index . 0 }}
{{- $monitor := index . 1 -}}
- port: {{ include "llm-gateway-exporter.webPort" $context }}
  path: {{ $monitor.path }}
  scheme: {{ $monitor.scheme | default (include "llm-gateway-exporter.scheme" $context) }}
  {{- with $monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with $monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- if $monitor.honorLabels }}
  honorLabels: true
  {{- end }}
  {{- with $monitor.tlsConfig }}
  tlsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $monitor.basicAuth }}
  basicAuth:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  relabelings:
    # A series is its state's: `instance` is what the state outlives pods by.
    - sourceLabels: [{{ eq $context.Values.mode "daemonset" | ternary "__meta_kubernetes_pod_node_name" "__meta_kubernetes_pod_name" }}]
      targetLabel: instance
    {{- if eq $context.Values.mode "daemonset" }}
    - action: labeldrop
      regex: pod
    {{- end }}
    {{- with $monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What both kinds of monitor say beside their endpoints. */}}
{{- define "llm-gateway-exporter.monitored" -}}
{{- $context := index . 0 }}
{{- $monitor := index . 1 -}}
namespaceSelector:
  matchNames: [{{ include "llm-gateway-exporter.namespace" $context }}]
{{- with $monitor.jobLabel }}
jobLabel: {{ . }}
{{- end }}
{{- with $monitor.podTargetLabels }}
podTargetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.sampleLimit }}
sampleLimit: {{ . }}
{{- end }}
{{- end }}
