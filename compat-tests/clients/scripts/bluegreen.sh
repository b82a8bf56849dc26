#!/usr/bin/env bash
# bluegreen.sh URL BLUE GREEN: moves the label HAPROXY_0_VHOST from the app BLUE to a new app GREEN that is otherwise the
# same, and removes BLUE.
set -euo pipefail
url=$1 blue=$2 green=$3

send() { curl -sSf -X "$1" -H 'Content-Type: application/json' "$url$2" ${3:+-d "$3"}; }
wait_for() {
    for _ in $(seq 300); do
        [ "$(curl -sSf "$url/v2/deployments" | jq --arg id "$1" 'map(select(.id == $id)) | length')" = 0 ] && return
        sleep 0.2
    done
    echo "deployment $1 does not end" >&2
    exit 1
}

spec=$(send GET "/v2/apps/$blue" | jq '.app | {cmd, args, cpus, mem, disk, instances, env, container, portDefinitions, healthChecks, networks, labels} | del(.[] | nulls)')
vhost=$(jq -er .labels.HAPROXY_0_VHOST <<<"$spec")
echo "green starts beside blue, without the name $vhost"
made=$(send POST /v2/apps "$(jq --arg id "$green" '.id = $id | del(.labels.HAPROXY_0_VHOST) | .portDefinitions[].port = 0 | .env.COLOUR = "green"' <<<"$spec")")
wait_for "$(jq -er '.deployments[0].id' <<<"$made")"
echo "the name moves"
wait_for "$(send PUT "/v2/apps/$green" "$(jq --arg v "$vhost" '{labels: (.labels + {HAPROXY_0_VHOST: $v})}' <<<"$spec")" | jq -er .deploymentId)"
wait_for "$(send PUT "/v2/apps/$blue" "$(jq '{labels: (.labels | del(.HAPROXY_0_VHOST))}' <<<"$spec")" | jq -er .deploymentId)"
wait_for "$(send PUT "/v2/apps/$blue" '{"instances": 0}' | jq -er .deploymentId)"
wait_for "$(send DELETE "/v2/apps/$blue" | jq -er .deploymentId)"
