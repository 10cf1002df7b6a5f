{{/* The chart makes its objects from the files of deploy/, to which from/ leads: so both ways of installing are one. */}}

{{/* The documents of a file, as a list of YAML texts: dict "root" "path". */}}
{{- define "meshfed.documents" -}}
{{- $namespace := .root.Values.namespace -}}
{{- $text := .root.Files.Get (printf "from/%s" .path) | required (printf "the chart lacks %s" .path) -}}
{{- $text = $text | replace "namespace: meshfed\n" (printf "namespace: %s\n" $namespace) -}}
{{- $text = $text | replace "serviceaccount:meshfed:" (printf "serviceaccount:%s:" $namespace) -}}
{{- $text = $text | replace "metadata.name: monitoring}" (printf "metadata.name: %s}" .root.Values.monitoring.namespace) -}}
{{- $documents := list -}}
{{- range regexSplit "(?m)^---$" $text -1 -}}
{{- $documents = append $documents (fromYaml .) -}}
{{- end -}}
{{- $documents | toJson -}}
{{- end -}}

{{/* A file as it is, in a namespace: dict "root" "path" and, where its objects name none, "namespace"; "labels" for those of the base. */}}
{{- define "meshfed.objects" -}}
{{- $call := . -}}
{{- range include "meshfed.documents" . | fromJsonArray }}
{{- if and $call.namespace (not (has .kind (list "Namespace" "ClusterRole" "ClusterRoleBinding"))) }}
{{- $_ := set .metadata "namespace" $call.namespace }}
{{- end }}
{{- if $call.labels }}
{{- $_ := set .metadata "labels" (merge (dict "app.kubernetes.io/name" "meshfed") (.metadata.labels | default dict)) }}
{{- end }}
{{- if has .kind (list "ServiceMonitor" "PrometheusRule") }}
{{- $_ := set .metadata "labels" (merge .metadata.labels $call.root.Values.monitoring.labels) }}
{{- end }}
---
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meshfed.settings" -}}
{{- $settings := dict "MESHFED_MESH" .Values.mesh "MESHFED_REPO" .Values.repository -}}
{{- $settings = merge $settings (dict "MESHFED_TRUST_ANCHOR" .Values.trust.anchor "MESHFED_TRUST_DIGEST" .Values.trust.digest) -}}
{{- merge $settings .Values.settings | toYaml -}}
{{- end -}}

{{/* Another name for other settings, so that the pods start anew with them. */}}
{{- define "meshfed.settingsName" -}}
meshfed-settings
{{- if .Values.mesh }}-{{ include "meshfed.settings" . | sha256sum | trunc 10 }}{{ end }}
{{- end -}}
