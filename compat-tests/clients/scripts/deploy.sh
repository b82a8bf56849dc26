#!/usr/bin/env bash
# deploy.sh URL APP.json [SECONDS]: creates or changes an app and waits for the end of its deployment. A locked app is taken
# over with force. A deployment that is not done in time is rolled back, and the script fails.
set -euo pipefail
url=$1 file=$2 patience=${3:-60}
id=$(jq -r .id "$file")
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

put() { curl -sS -o "$answer" -w '%{http_code}' -X PUT -H 'Content-Type: application/json' "$url/v2/apps$id$1" -d @"$file"; }
code=$(put "")
if [ "$code" = 409 ]; then
    echo "locked by $(jq -r '[.deployments[].id] | join(", ")' "$answer"), forcing" >&2
    code=$(put "?force=true")
fi
case $code in
200 | 201) ;;
*)
    echo "PUT $id: $code: $(jq -c '[.message, .details]' "$answer")" >&2
    exit 2
    ;;
esac
deployment=$(jq -er .deploymentId "$answer")

listed() { curl -sS "$url/v2/deployments" | jq -e --arg id "$deployment" 'any(.[]; .id == $id)' >/dev/null; }
end=$((SECONDS + patience))
while listed; do
    if [ $SECONDS -ge $end ]; then
        back=$(curl -sS -X DELETE "$url/v2/deployments/$deployment" | jq -r .deploymentId)
        echo "deployment $deployment is not done after $patience s, rolled back by $back" >&2
        deployment=$back end=$((SECONDS + 60))
        while listed && [ $SECONDS -lt $end ]; do sleep 0.2; done
        exit 1
    fi
    sleep 0.2
done
curl -sS "$url/v2/apps$id" | jq -e '.app | .tasksRunning == .instances and (.deployments | length) == 0 and (.healthChecks == null or .healthChecks == [] or .tasksHealthy == .instances)' >/dev/null
