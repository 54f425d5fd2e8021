{{- define "llm-gateway-exporter.stateDir" -}}
{{ .Values.config.state_dir | default "/var/lib/llm-gateway-exporter" }}
{{- end }}

{{/* What the web listener's port is called: a sidecar's by a name that the gateway's own ports have not. */}}
{{- define "llm-gateway-exporter.webPort" -}}
{{ eq .Values.mode "sidecar" | ternary "llm-exporter" "http" }}
{{- end }}

{{/* Ports beyond the web listener's, as JSON: those of the configuration's proxies, and further ones. */}}
{{- define "llm-gateway-exporter.ports" -}}
{{- $taken := list "http" (include "llm-gateway-exporter.webPort" .) }}
{{- range .Values.extraPorts }}
  {{- $taken = append $taken .name }}
{{- end }}
{{- $ports := list }}
{{- range .Values.config.sources }}
  {{- if .proxy }}
    {{- $port := regexFind "[0-9]+$" .proxy.listen | int }}
    {{- $name := .name | lower | replace "_" "-" }}
    {{- /* What RFC 6335 lets a port be called; names with a number are of proxies without one. */}}
    {{- $fits := and (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*$" $name) (le (len $name) 15) }}
    {{- $free := not (or (has $name $taken) (regexMatch "^proxy-[0-9]+$" $name)) }}
    {{- if not (and $fits $free) }}
      {{- $name = printf "proxy-%d" $port }}
    {{- end }}
    {{- $taken = append $taken $name }}
    {{- $ports = append $ports (dict "name" $name "port" $port) }}
  {{- end }}
{{- end }}
{{- toJson (concat $ports .Values.extraPorts) }}
{{- end }}

{{/* A probe of the web listener, by its port and its scheme: a list of the context and its values. */}}
{{- define "llm-gateway-exporter.probe" -}}
{{- $context := index . 0 }}
{{- $probe := deepCopy (index . 1) }}
{{- if $probe.httpGet }}
  {{- $port := include "llm-gateway-exporter.webPort" $context }}
  {{- $scheme := include "llm-gateway-exporter.scheme" $context | upper }}
  {{- $_ := set $probe "httpGet" (merge $probe.httpGet (dict "port" $port "scheme" $scheme)) }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/* The container; in a workload of the chart or, as a sidecar, in the gateway's pod. */}}
{{- define "llm-gateway-exporter.container" -}}
name: llm-gateway-exporter
image: {{ include "llm-gateway-exporter.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - run
  - --config.file=/etc/llm-gateway-exporter/config.yaml
  - --web.listen-address=:{{ .Values.web.port }}
  {{- if .Values.web.configExistingSecretName }}
  - --web.config.file=/etc/llm-gateway-exporter-web/web-config.yml
  {{- end }}
  - --log.level={{ .Values.log.level }}
  - --log.format={{ .Values.log.format }}
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: {{ include "llm-gateway-exporter.webPort" . }}
    containerPort: {{ .Values.web.port }}
  {{- range include "llm-gateway-exporter.ports" . | fromJsonArray }}
  - name: {{ .name | quote }}
    containerPort: {{ .port }}
  {{- end }}
{{- range $kind := list "livenessProbe" "readinessProbe" "startupProbe" }}
{{- with index $.Values $kind }}
{{ $kind }}:
  {{- include "llm-gateway-exporter.probe" (list $ .) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: llm-gateway-exporter-config
    mountPath: /etc/llm-gateway-exporter
    readOnly: true
  - name: llm-gateway-exporter-state
    mountPath: {{ include "llm-gateway-exporter.stateDir" . }}
  - name: llm-gateway-exporter-tmp
    mountPath: /tmp
  {{- if .Values.web.configExistingSecretName }}
  - name: llm-gateway-exporter-web
    mountPath: /etc/llm-gateway-exporter-web
    readOnly: true
  {{- end }}
  {{- if eq .Values.mode "daemonset" }}
  {{- range $number, $path := .Values.hostLogs.paths }}
  - name: logs-{{ $number }}
    mountPath: {{ $path }}
    readOnly: true
  {{- end }}
  {{- else if eq .Values.mode "sidecar" }}
  - name: {{ .Values.sidecar.logVolume.name }}
    mountPath: {{ .Values.sidecar.logMountPath }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Volumes that every pod with the container has. */}}
{{- define "llm-gateway-exporter.volumes" -}}
- name: llm-gateway-exporter-config
  {{- if .Values.configExistingSecretName }}
  secret:
    secretName: {{ .Values.configExistingSecretName }}
  {{- else }}
  configMap:
    name: {{ .Values.configExistingConfigMapName | default (include "llm-gateway-exporter.fullname" .) }}
  {{- end }}
- name: llm-gateway-exporter-tmp
  emptyDir:
    sizeLimit: 1Gi
{{- if .Values.web.configExistingSecretName }}
- name: llm-gateway-exporter-web
  secret:
    secretName: {{ .Values.web.configExistingSecretName }}
{{- end }}
{{- end }}

{{/* Where a daemonset keeps its state on the node; releases do not share it. */}}
{{- define "llm-gateway-exporter.hostPath" -}}
{{- .Values.persistence.hostPath | default (printf "/var/lib/llm-gateway-exporter/%s-%s" (include "llm-gateway-exporter.namespace" .) (include "llm-gateway-exporter.fullname" .)) }}
{{- end }}

{{/* The state's volume; none where it is a claim of the statefulset. */}}
{{- define "llm-gateway-exporter.stateVolume" -}}
{{- if not (and .Values.persistence.enabled (eq .Values.mode "statefulset") (not .Values.persistence.existingClaim)) }}
- name: llm-gateway-exporter-state
  {{- if and .Values.persistence.enabled (eq .Values.mode "daemonset") }}
  hostPath:
    path: {{ include "llm-gateway-exporter.hostPath" . }}
    type: DirectoryOrCreate
  {{- else if and .Values.persistence.enabled (eq .Values.mode "statefulset") }}
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- end }}

{{/* The sidecar for `containers` (or, with `sidecar.restartPolicy`, `initContainers`) of your pod. */}}
{{- define "llm-gateway-exporter.sidecar.container" -}}
- {{ include "llm-gateway-exporter.container" . | nindent 2 | trim }}
  {{- with .Values.sidecar.restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
{{- end }}

{{/* What the sidecar needs among `volumes` of your pod, beside the volume with the log. */}}
{{- define "llm-gateway-exporter.sidecar.volumes" -}}
{{ include "llm-gateway-exporter.volumes" . }}
- name: llm-gateway-exporter-state
  {{- toYaml (.Values.sidecar.stateVolume | default (dict "emptyDir" dict)) | nindent 2 }}
{{- end }}

{{/* A pod's template. */}}
{{- define "llm-gateway-exporter.pod" -}}
{{- $onNode := and (eq .Values.mode "daemonset") .Values.hostLogs.paths -}}
metadata:
  labels:
    {{- include "llm-gateway-exporter.labels" (list . .Values.podLabels) | nindent 4 }}
  annotations:
    {{- /* So that pods are replaced when their configuration changes. */}}
    {{- $checksum := dict "checksum/config" (toYaml .Values.config | sha256sum) }}
    {{- merge $checksum (.Values.podAnnotations | default dict) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "llm-gateway-exporter.serviceAccount" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  enableServiceLinks: false
  {{- with concat ((.Values.global | default dict).imagePullSecrets | default list) .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $security := .Values.podSecurityContext | default dict }}
  {{- if $onNode }}
    {{- $security = merge (dict "supplementalGroups" (append ($security.supplementalGroups | default list) .Values.hostLogs.group)) $security }}
  {{- end }}
  {{- with $security }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $own := and (eq .Values.mode "daemonset") .Values.persistence.enabled .Values.persistence.hostPathOwner $security.runAsUser }}
  {{- if or $own .Values.extraInitContainers }}
  initContainers:
    {{- if $own }}
    - name: own-state
      image: {{ include "llm-gateway-exporter.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command:
        - python3
        - -c
        - import os, sys; os.chown(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        - {{ include "llm-gateway-exporter.stateDir" . }}
        - {{ $security.runAsUser | int64 | quote }}
        - {{ $security.runAsGroup | default -1 | int64 | quote }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsUser: 0
        runAsNonRoot: false
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL], add: [CHOWN]}
      volumeMounts:
        - name: llm-gateway-exporter-state
          mountPath: {{ include "llm-gateway-exporter.stateDir" . }}
    {{- end }}
    {{- with .Values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - {{ include "llm-gateway-exporter.container" . | nindent 6 | trim }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "llm-gateway-exporter.volumes" . | nindent 4 }}
    {{- with include "llm-gateway-exporter.stateVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if $onNode }}
    {{- range $number, $path := .Values.hostLogs.paths }}
    - name: logs-{{ $number }}
      hostPath:
        path: {{ $path }}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "llm-gateway-exporter.selector" $ | fromYaml)) }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ merge (deepCopy .) (deepCopy $selector) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
{{- end }}
