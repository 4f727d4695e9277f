#!/usr/bin/env bash
# Time of the static allocator on every NAME.CAPACITY.csv of some folders: allocate.sh BUILD [DIR...]. Without a folder, those of
# google/minimalloc (AHM_MINIMALLOC_DIR) where they are at hand and instances that allocate_instances.py writes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -eq 0 ]; then
  /usr/bin/python3 "$here/allocate_instances.py" "$work/generated" 1
  set -- "${AHM_MINIMALLOC_DIR:-$here/../../../shared/assets/minimalloc}" "$work/generated"
fi
for folder in "$@"; do
  [ -d "$folder" ] || { echo "skipped: there is no folder $folder"; continue; }
  for file in "$folder"/*.csv; do
    name=$(basename "$file" .csv)
    printf '%-24s ' "$name"
    "$build/bin/ahm-allocate" "$file" --capacity="${name##*.}" --time-limit="${AHM_ALLOCATE_SECONDS:-60}" --output="$work/out.csv" 2>&1 | head -1
  done
done
