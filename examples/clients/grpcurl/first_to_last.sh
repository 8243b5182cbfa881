#!/usr/bin/env bash
# From a table to its labels with grpcurl: bash first_to_last.sh HOST:PORT TABLE LABELS.csv
# The service tells its methods and messages itself (reflection); bytes travel as base64.
#
# KMEANS_TOKEN is the token of a service that asks for one. KMEANS_TLS_CA is the file of the authority that signed
# the service's certificate: without it the connection is in plain text, which a token must not travel in.
set -euo pipefail
target=$1 table=$2 labels=$3

if [ -n "${KMEANS_TLS_CA:-}" ]; then flags=(-cacert "$KMEANS_TLS_CA"); else flags=(-plaintext); fi
# grpcurl fills the token in: on its command line everybody on the machine could read it.
if [ -n "${KMEANS_TOKEN:-}" ]; then flags+=(-expand-headers -H 'authorization: Bearer ${KMEANS_TOKEN}'); fi

# `call SECONDS JSON METHOD` prints the answer; on a failure, what grpcurl says and the reason for programs.
call() {
  local said code=0
  said=$(mktemp)
  grpcurl "${flags[@]}" -max-time "$1" -d "$2" "$target" "$3" 2> "$said" || code=$?
  if [ "$code" != 0 ]; then
    cat "$said" >&2
    sed -n 's/.*"reason": *"\([A-Z0-9_]*\)".*/Reason: \1/p' "$said" | head -n 1 >&2
  fi
  rm -f "$said"
  return "$code"
}

# `value KEY` prints the first value of this key.
value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }

# A text as JSON has it. Control characters, which a file's name may have, become spaces.
json_text() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}" | tr '\000-\037' ' '
}

# With a request_id the same call may be sent again after a broken connection.
new_id() { cat /proc/sys/kernel/random/uuid 2> /dev/null || uuidgen; }

# Base64 of whole groups of three bytes, a megabyte of them per message.
upload() {
  printf '{"header": {"display_name": %s, "request_id": "%s"}}\n' "$(json_text "$(basename "$table")")" "$(new_id)"
  base64 -w 1398100 "$table" | while IFS= read -r chunk || [ -n "$chunk" ]; do
    printf '{"chunk": "%s"}\n' "$chunk"
  done
}

dataset=$(upload | call 600 @ kmeans.v1.DatasetService/UploadDataset | value name)
echo "$dataset"

job=$(call 30 '{"spec": {"dataset": "'"$dataset"'", "max_k": 4, "n_experiments": 2}, "request_id": "'"$(new_id)"'"}' \
  kmeans.v1.JobService/CreateJob | value name)
echo "$job"

# A watch that breaks is resumed after the last revision that came.
state='' revision=0 resumes=0
while true; do
  while IFS= read -r line; do
    case $line in
      *'"state": '*) state=$(value state <<< "$line") && echo "$state" && resumes=0 ;;
      *'"revision": '*) revision=$(value revision <<< "$line") ;;
    esac
  done < <(call 600 '{"name": "'"$job"'", "job_only": true, "after_revision": "'"$revision"'"}' \
    kmeans.v1.JobService/WatchJob)
  case $state in JOB_STATE_SUCCEEDED | JOB_STATE_FAILED | JOB_STATE_CANCELLED) break ;; esac
  resumes=$((resumes + 1))
  [ "$resumes" -le 5 ] || exit 1
  echo "The watch broke, and goes on after revision $revision."
  sleep "$resumes"
done

call 30 '{"name": "'"$job"'"}' kmeans.v1.JobService/GetReport | sed -n '/^  "best"/,/"bic"/p'

call 600 '{"name": "'"$job"'"}' kmeans.v1.JobService/ExportLabels |
  sed -n 's/^ *"chunk": "\(.*\)"$/\1/p' | while IFS= read -r chunk; do printf '%s' "$chunk" | base64 -d; done > "$labels"
echo "Labels are in $labels"
