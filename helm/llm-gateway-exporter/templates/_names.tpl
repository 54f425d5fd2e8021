{{- define "llm-gateway-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "llm-gateway-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "llm-gateway-exporter.name" . }}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $whole | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "llm-gateway-exporter.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "llm-gateway-exporter.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "llm-gateway-exporter.fullname" .) "default") }}
{{- end }}

{{- define "llm-gateway-exporter.selector" -}}
app.kubernetes.io/name: {{ include "llm-gateway-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "llm-gateway-exporter.testSelector" -}}
app.kubernetes.io/name: {{ include "llm-gateway-exporter.name" . | trunc 58 }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the chart. */}}
{{- define "llm-gateway-exporter.chartLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels of an object: a list of the context and its own. The nearest win; none changes those that select. */}}
{{- define "llm-gateway-exporter.labels" -}}
{{- $context := index . 0 }}
{{- $selector := include "llm-gateway-exporter.selector" $context | fromYaml }}
{{- $chart := include "llm-gateway-exporter.chartLabels" $context | fromYaml }}
{{- merge $selector (index . 1 | default dict) ($context.Values.commonLabels | default dict) $chart | toYaml }}
{{- end }}

{{/* Metadata: a list of the context, the name, and optionally namespace, labels and annotations. */}}
{{- define "llm-gateway-exporter.metadata" -}}
{{- $context := index . 0 -}}
{{- $more := index . 2 -}}
name: {{ index . 1 }}
namespace: {{ $more.namespace | default (include "llm-gateway-exporter.namespace" $context) }}
labels:
  {{- include "llm-gateway-exporter.labels" (list $context $more.labels) | nindent 2 }}
{{- with $more.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "llm-gateway-exporter.image" -}}
{{- $global := (.Values.global | default dict) }}
{{- $registry := $global.imageRegistry | default .Values.image.registry }}
{{- $name := $registry | empty | ternary .Values.image.repository (printf "%s/%s" $registry .Values.image.repository) }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "llm-gateway-exporter.scheme" -}}
{{ .Values.web.tls | ternary "https" "http" }}
{{- end }}
