#!/usr/bin/env bash
# From a table to its labels with grpcurl: bash first_to_last.sh HOST:PORT TABLE LABELS.csv
# The service tells its methods and messages itself (reflection); bytes travel as base64.
set -euo pipefail
target=$1 table=$2 labels=$3

# `value KEY` prints the first value of this key.
value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }

# Base64 of whole groups of three bytes, a megabyte of them per message.
upload() {
  printf '{"header": {"display_name": "%s"}}\n' "$(basename "$table")"
  base64 -w 1398100 "$table" | while IFS= read -r chunk || [ -n "$chunk" ]; do
    printf '{"chunk": "%s"}\n' "$chunk"
  done
}

dataset=$(upload | grpcurl -plaintext -d @ "$target" kmeans.v1.DatasetService/UploadDataset | value name)
echo "$dataset"

job=$(grpcurl -plaintext -d '{"spec": {"dataset": "'"$dataset"'", "max_k": 4, "n_experiments": 2}}' \
  "$target" kmeans.v1.JobService/CreateJob | value name)
echo "$job"

grpcurl -plaintext -d '{"name": "'"$job"'", "job_only": true}' "$target" kmeans.v1.JobService/WatchJob |
  sed -n 's/^ *"state": "\(.*\)",$/\1/p'

grpcurl -plaintext -d '{"name": "'"$job"'"}' "$target" kmeans.v1.JobService/GetReport |
  sed -n '/^  "best"/,/"bic"/p'

grpcurl -plaintext -d '{"name": "'"$job"'"}' "$target" kmeans.v1.JobService/ExportLabels |
  sed -n 's/^ *"chunk": "\(.*\)"$/\1/p' | while IFS= read -r chunk; do printf '%s' "$chunk" | base64 -d; done > "$labels"
echo "Labels are in $labels"
