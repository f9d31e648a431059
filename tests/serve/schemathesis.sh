#!/usr/bin/env bash
# Does the server keep its own description, whatever it is asked?
#
#   tests/serve/schemathesis.sh CENTO SCHEMATHESIS [MAX_EXAMPLES]
#
# Serves the demo's handbook on a free port and lets schemathesis ask what the
# description allows and what it does not: no answer may be a 5xx, and each must
# be one that is described.
set -euo pipefail
cento=$1
schemathesis=$2
examples=${3:-20}
log=$(mktemp)
"$cento" demo --serve --bind 127.0.0.1:0 > "$log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 100); do
    url=$(sed -n 's/^listening on //p' "$log")
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { echo "the server does not listen"; exit 1; }
# It has no way to write an archive; tests import real ones, and broken ones.
"$schemathesis" run "$url/openapi.json" --seed 1 --no-color --max-examples "$examples" \
    --exclude-operation-id import_collection \
    --phases examples,coverage,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
