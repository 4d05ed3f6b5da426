{{/* Names are fixed, because a cluster can have only one Tallygate. */}}
{{- define "tallygate.name" -}}tallygate-controller{{- end -}}

{{- define "tallygate.selector" -}}
app.kubernetes.io/name: tallygate
app.kubernetes.io/component: controller
{{- end -}}

{{- define "tallygate.labels" -}}
app.kubernetes.io/name: tallygate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tallygate.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "tallygate.quotaStoreName" -}}tallygate-quota-store{{- end -}}

{{- define "tallygate.quotaStoreSelector" -}}
app.kubernetes.io/name: tallygate
app.kubernetes.io/component: quota-store
{{- end -}}

{{/* The Secret with the password of the quota store; empty: it needs none. */}}
{{- define "tallygate.quotaStoreSecret" -}}
{{- with .Values.quotaStore -}}
{{- if eq .type "Own" -}}
{{- .own.secretName | default (include "tallygate.quotaStoreName" $) -}}
{{- else if eq .type "External" -}}
{{- .external.secretName -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The URL that the controller reads; empty: each proxy pod counts for itself. */}}
{{- define "tallygate.quotaStoreUrl" -}}
{{- $store := .Values.quotaStore -}}
{{- if eq $store.type "Own" -}}
{{- printf "redis://%s.%s.svc:6379?keyPrefix=%s" (include "tallygate.quotaStoreName" .) .Release.Namespace ($store.keyPrefix | urlquery) -}}
{{- else if eq $store.type "External" -}}
{{- with $store.external -}}
{{- if not .addresses -}}
{{- fail "quotaStore.type External needs quotaStore.external.addresses: [HOST:PORT]" -}}
{{- end -}}
{{- if and (eq .mode "Sentinel") (not .sentinelMaster) -}}
{{- fail "quotaStore.external.mode Sentinel needs quotaStore.external.sentinelMaster, the name by which the Sentinels know the primary" -}}
{{- end -}}
{{- if and .tls.serverName (not .tls.enabled) -}}
{{- fail "quotaStore.external.tls.serverName needs quotaStore.external.tls.enabled" -}}
{{- end -}}
{{- $scheme := printf "redis%s%s" (ternary "s" "" .tls.enabled) (get (dict "Standalone" "" "Sentinel" "+sentinel" "Cluster" "+cluster") .mode) -}}
{{- $path := ternary (printf "/%s" .sentinelMaster) "" (eq .mode "Sentinel") -}}
{{- if .database -}}
{{- $path = printf "%s/%d" $path (int .database) -}}
{{- end -}}
{{- $serverName := ternary (printf "&serverName=%s" (.tls.serverName | urlquery)) "" (ne .tls.serverName "") -}}
{{- printf "%s://%s%s?keyPrefix=%s%s" $scheme (join "," .addresses) $path ($store.keyPrefix | urlquery) $serverName -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The spec of the EnvoyProxy, from the file of `tallygate sidecar-patch` and proxy.spec. */}}
{{- define "tallygate.envoyProxySpec" -}}
{{- $given := .Values.proxy.spec -}}
{{- $workload := printf "envoy%s" (ternary "DaemonSet" "Deployment" (eq .Values.proxy.workload "DaemonSet")) -}}
{{- $kubernetes := dig "provider" "kubernetes" dict $given -}}
{{- if hasKey $given "bootstrap" -}}
{{- fail "proxy.spec.bootstrap would replace what the sidecar needs; use an EnvoyProxy of your own with the output of `tallygate sidecar-patch`" -}}
{{- end -}}
{{- if or (dig "envoyDeployment" "patch" false $kubernetes) (dig "envoyDaemonSet" "patch" false $kubernetes) -}}
{{- fail "a patch in proxy.spec would replace the sidecar's; use an EnvoyProxy of your own with the output of `tallygate sidecar-patch`" -}}
{{- end -}}
{{- if hasKey $kubernetes (ternary "envoyDeployment" "envoyDaemonSet" (eq $workload "envoyDaemonSet")) -}}
{{- fail (printf "proxy.spec.provider.kubernetes may hold %s only, because proxy.workload is %s" $workload .Values.proxy.workload) -}}
{{- end -}}
{{- if hasKey $given "shutdown" -}}
{{- fail "use proxy.drainTimeoutSeconds in place of proxy.spec.shutdown: the pod's grace period goes with it" -}}
{{- end -}}
{{- $environment := list (dict "name" "TALLYGATE_LOG_LEVEL" "value" .Values.sidecar.logLevel) -}}
{{- if eq .Values.sidecar.metricKeys "hashed" -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_METRIC_KEYS" "value" "hashed") -}}
{{- end -}}
{{- if eq .Values.sidecar.errorDetail "plain" -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_ERROR_DETAIL" "value" "plain") -}}
{{- end -}}
{{- if ne (int .Values.sidecar.quotaKeys) 100000 -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_QUOTA_KEYS" "value" (int .Values.sidecar.quotaKeys | toString)) -}}
{{- end -}}
{{- $usage := .Values.sidecar.usage -}}
{{- $keepsRequests := and (gt (int $usage.days) 0) (gt (int $usage.requestDays) 0) -}}
{{- if ne (int $usage.days) 31 -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_USAGE_DAYS" "value" (int $usage.days | toString)) -}}
{{- end -}}
{{- if ne (int $usage.requestDays) 7 -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_USAGE_REQUEST_DAYS" "value" (int $usage.requestDays | toString)) -}}
{{- end -}}
{{- with $usage.export -}}
{{- if not $keepsRequests -}}
{{- fail "sidecar.usage.export needs single requests: set sidecar.usage.days and sidecar.usage.requestDays to 1 or more" -}}
{{- end -}}
{{- $environment = append $environment (dict "name" "TALLYGATE_USAGE_EXPORT" "value" (join "," .)) -}}
{{- end -}}
{{- $size := .Values.sidecar.stateSize -}}
{{- $mebibytes := ternary (trimSuffix "Gi" $size | int | mul 1024) (trimSuffix "Mi" $size | int) (hasSuffix "Gi" $size) | int -}}
{{- if and $keepsRequests (lt $mebibytes 1536) -}}
{{- fail "sidecar.stateSize must be at least 1536Mi for usage of single requests, or the pods could be evicted; or set sidecar.usage.requestDays to 0" -}}
{{- end -}}
{{- $environment = concat $environment .Values.sidecar.env -}}
{{- $text := .Files.Get "files/envoy-proxy.yaml"
  | replace "${WORKLOAD}" $workload
  | replace "${DRAIN_TIMEOUT}" (printf "%ds" (int .Values.proxy.drainTimeoutSeconds) | toJson)
  | replace "${GRACE_SECONDS}" (add 60 (int .Values.proxy.drainTimeoutSeconds) | toString)
  | replace "${IMAGE}" (include "tallygate.image" . | toJson)
  | replace "${IMAGE_PULL_POLICY}" (.Values.image.pullPolicy | toJson)
  | replace "${CONTROLLER}" (printf "%s.%s.svc:9443" (include "tallygate.name" .) .Release.Namespace)
  | replace "${ENVIRONMENT}" ($environment | toJson)
  | replace "${STATE_SIZE}" (.Values.sidecar.stateSize | toJson)
  | replace "${RESOURCES}" (.Values.sidecar.resources | toJson) -}}
{{- $spec := $text | fromYaml -}}
{{- with .Values.imagePullSecrets -}}
{{- $pod := dict "pod" (dict "imagePullSecrets" .) -}}
{{- $spec = mergeOverwrite $spec (dict "provider" (dict "kubernetes" (dict $workload $pod))) -}}
{{- end -}}
{{- if .Values.proxy.mergeGateways -}}
{{- $spec = set $spec "mergeGateways" true -}}
{{- end -}}
{{- mergeOverwrite $spec (deepCopy $given) | toYaml -}}
{{- end -}}
