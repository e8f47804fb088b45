#!/usr/bin/env bash
# Verify each capture below a folder, replay it, and hold every message against its golden file.
#
#   regression.sh FOLDER      a folder for each capture: FOLDER/NAME/*.hcap.zst and FOLDER/NAME/golden.jsonl
#   HFTCAP                    the command to run, where it is not `hftcap`
#
# Exit 0 if all is as it was, 1 if anything is not, 2 if there is nothing to check. Every capture is looked at.
set -uo pipefail

folder="${1:?which folder holds the captures?}"
hftcap="${HFTCAP:-hftcap}"
checked=0
failed=()

for golden in "$folder"/*/golden.jsonl; do
    [[ -e "$golden" ]] || continue
    capture="$(dirname "$golden")"
    checked=$((checked + 1))
    echo "==> $capture"
    if ! "$hftcap" verify "$capture" || ! "$hftcap" replay "$capture" --golden "$golden"; then
        failed+=("$capture")
        # A line like this is shown beside the change that caused it.
        echo "::error title=capture regression::$capture is not replayed as it was"
    fi
done

[[ -n "${GITHUB_OUTPUT:-}" ]] && echo "checked=$checked" >>"$GITHUB_OUTPUT"
if ((checked == 0)); then
    echo "there is no */golden.jsonl below $folder" >&2
    exit 2
fi
if ((${#failed[@]})); then
    echo "not as they were: ${failed[*]}" >&2
    exit 1
fi
echo "$checked captures are replayed as they were"
