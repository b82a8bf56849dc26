#!/usr/bin/env bash
# dcos.sh URL GROUP STEP...: the HTTP calls behind the commands of dcos marathon, with the checks its users rely on.
set -euo pipefail
url=$1 base=$2
shift 2

call() { # METHOD PATH [BODY]: prints the body; any status but 2xx fails
    local out code
    out=$(mktemp)
    code=$(curl -sS -o "$out" -w '%{http_code}' -X "$1" -H 'Accept: application/json' -H 'Content-Type: application/json' "$url/$2" ${3:+-d "$3"})
    cat "$out"
    rm -f "$out"
    [ "${code:0:1}" = 2 ] || { echo "$1 $2: $code" >&2 && return 1; }
}
status() { curl -sS -o /dev/null -w '%{http_code}' -X "$1" -H 'Content-Type: application/json' "$url/$2" ${3:+-d "$3"}; }
holds() { jq -e "$@" >/dev/null || { echo "does not hold: $*" >&2 && return 1; }; }
watch() { # DEPLOYMENT, as dcos marathon deployment watch
    for _ in $(seq 600); do
        call GET v2/deployments | jq -e --arg id "$1" 'any(.[]; .id == $id)' >/dev/null || return 0
        sleep 0.1
    done
    echo "deployment $1 does not end" >&2
    return 1
}
done_by() { watch "$(jq -er .deploymentId)"; }
until_ok() {
    for _ in $(seq 600); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    "$@"
}

system() {
    call GET v2/info | holds '(.version | startswith("1.")) and .elected and .frameworkId != ""'
    call GET v2/leader | holds '.leader | contains(":")'
    call GET v2/plugins | holds '.plugins | type == "array"'
}
add() { # app add, app list, app show, app version list
    [ "$(status GET "v2/apps$base/app")" = 404 ]
    call POST v2/apps/ "{\"id\": \"$base/app\", \"cmd\": \"sleep 1000\", \"cpus\": 0.1, \"mem\": 16, \"instances\": 1}" | holds --arg id "$base/app" '.id == $id and (.deployments | length) == 1'
    [ "$(status POST v2/apps "{\"id\": \"$base/app\", \"cmd\": \"sleep 1000\"}")" = 409 ]
    until_ok eval "call GET v2/apps$base/app | holds '.app.tasksRunning == 1 and (.app.deployments | length) == 0'"
    call GET v2/apps | holds --arg id "$base/app" 'any(.apps[]; .id == $id and .cpus == 0.1)'
    call GET "v2/apps$base/app/versions" | holds '.versions | length == 1'
    local version
    version=$(call GET "v2/apps$base/app/versions" | jq -r '.versions[0]')
    call GET "v2/apps$base/app/versions/$version" | holds '.cmd == "sleep 1000"'
    [ "$(status GET "v2/apps$base/app/versions/2019-11-15T07:12:44.466Z")" = 404 ]
    [ "$(status GET "v2/apps$base/app/versions/nix")" = 422 ]
}
update() { # app update, app restart
    call PUT "v2/apps$base/app" '{"env": {"COLOUR": "green"}}' | done_by
    call GET "v2/apps$base/app" | holds '.app.env.COLOUR == "green" and .app.instances == 1'
    call POST "v2/apps$base/app/restart?force=true" | holds '.deploymentId and .version'
    until_ok eval "call GET v2/apps$base/app | holds '.app.tasksRunning == 1 and (.app.tasks | length) == 1 and (.app.deployments | length) == 0'"
}
scale() { # app start, app stop
    call PUT "v2/apps$base/app" '{"instances": 3}' | done_by
    call GET "v2/apps$base/app" | holds '.app.tasksRunning == 3'
    call PUT "v2/apps$base/app?force=true" '{"instances": 2}' | done_by
}
task() { # task list, task show, task stop, task kill, app kill
    local first
    first=$(call GET v2/tasks | jq -er --arg id "$base/app" '[.tasks[] | select(.appId == $id)] | if length == 2 then .[0].id else error("not 2 tasks") end')
    call GET v2/tasks | holds --arg id "$first" '.tasks[] | select(.id == $id) | .host and .startedAt and .stagedAt and .slaveId and .version'
    call DELETE "v2/apps$base/app/tasks/$first?wipe=true" | holds --arg id "$first" '.task.id == $id'
    until_ok eval "call GET v2/apps$base/app/tasks | holds --arg id $first '[.tasks[] | select(.state == \"TASK_RUNNING\" and .id != \$id)] | length == 2'"
    call POST "v2/tasks/delete?scale=false&wipe=true" "$(call GET "v2/apps$base/app/tasks" | jq '{ids: [.tasks[0].id]}')" | holds '.tasks | length == 1'
    until_ok eval "call GET v2/apps$base/app/tasks | holds '[.tasks[] | select(.state == \"TASK_RUNNING\")] | length == 2'"
    call DELETE "v2/apps$base/app/tasks?host=nowhere.example.com" | holds '.tasks == []'
    call DELETE "v2/apps$base/app/tasks?scale=true" | done_by
    call GET "v2/apps$base/app" | holds '.app.instances == 0'
}
deployment() { # deployment list, debug list, debug summary, debug details, delay reset, deployment rollback, deployment stop
    local id
    call PUT "v2/apps$base/app" '{"cpus": 10000, "instances": 1}' >/dev/null
    id=$(call GET v2/deployments | jq -er --arg id "$base/app" '.[] | select(.affectedApps == [$id]) | .id')
    [ "$(status PUT "v2/apps$base/app" '{"instances": 2}')" = 409 ]
    until_ok eval "call GET 'v2/queue?embed=lastUnusedOffers' | holds --arg id $base/app '.queue[] | select(.app.id == \$id) | .count == 1 and .processedOffersSummary.unusedOffersCount > 0 and (.lastUnusedOffers | length) > 0'"
    call GET 'v2/queue?embed=lastUnusedOffers' | holds --arg id "$base/app" '.queue[] | select(.app.id == $id) | .since and .delay.overdue != null and .role and (.lastUnusedOffers[0] | .offer.hostname and .timestamp and (.reason | index("InsufficientCpus")))'
    [ "$(status DELETE "v2/queue$base/app/delay")" = 204 ]
    [ "$(status DELETE "v2/queue$base/none/delay")" = 404 ]
    call DELETE "v2/deployments/$id" | done_by
    call GET "v2/apps$base/app" | holds '.app.cpus == 0.1 and .app.instances == 0'
    id=$(call PUT "v2/apps$base/app" '{"cpus": 10000, "instances": 1}' | jq -er .deploymentId)
    call DELETE "v2/deployments/$id?force=true" >/dev/null
    until_ok eval "call GET v2/deployments | holds --arg id $id 'all(.[]; .id != \$id)'"
}
group() { # group add, list, show, update, scale, remove
    local part="\"cmd\": \"sleep 1000\", \"cpus\": 0.1, \"mem\": 16"
    call POST v2/groups "{\"id\": \"$base/team\", \"apps\": [{\"id\": \"a\", $part}, {\"id\": \"b\", $part, \"dependencies\": [\"a\"]}]}" | done_by
    call GET "v2/groups$base/team" | holds --arg id "$base/team" '.id == $id and (.apps | length) == 2'
    call GET v2/groups | holds '.groups | length > 0'
    call PUT "v2/groups$base/team" '{"scaleBy": 2}' | done_by
    call GET "v2/groups$base/team" | holds 'all(.apps[]; .instances == 2)'
    call PUT "v2/groups$base/team?force=true" "{\"apps\": [{\"id\": \"a\", $part, \"instances\": 1}]}" | done_by
    call DELETE "v2/groups$base/team?force=true" | done_by
    [ "$(status GET "v2/groups$base/team")" = 404 ]
}
pod() { # pod add, list, show, update, kill, remove: ids of deployments come in a header
    local spec answer id instance task
    spec="{\"id\": \"$base/pod\", \"containers\": [{\"name\": \"c\", \"exec\": {\"command\": {\"shell\": \"sleep 1000\"}}, \"resources\": {\"cpus\": 0.1, \"mem\": 32}}], \"scaling\": {\"kind\": \"fixed\", \"instances\": 1}}"
    deployment_of() { tr -d '\r' <<<"$1" | sed -n 's/^marathon-deployment-id: //Ip'; }
    [ "$(curl -sS -o /dev/null -w '%{http_code}' -I "$url/v2/pods")" = 200 ]
    answer=$(curl -sSf -i -X POST -H 'Content-Type: application/json' "$url/v2/pods" -d "$spec")
    id=$(deployment_of "$answer") && [ -n "$id" ] && watch "$id"
    [ "$(status POST v2/pods "$spec")" = 409 ]
    call GET v2/pods/::status | holds --arg id "$base/pod" 'any(.[]; .id == $id and .status == "STABLE" and (.spec.containers[0].name == "c") and .spec.version and .statusSince)'
    call GET "v2/pods$base/pod::status" | holds '.instances | length == 1 and .[0].status == "STABLE" and .[0].agentHostname and .[0].containers[0].status == "TASK_RUNNING"'
    answer=$(curl -sSf -i -X PUT -H 'Content-Type: application/json' "$url/v2/pods$base/pod?force=true" -d "$(jq -c '.scaling.instances = 2' <<<"$spec")")
    id=$(deployment_of "$answer") && [ -n "$id" ] && watch "$id"
    call GET "v2/pods$base/pod" | holds '.scaling.instances == 2 and .scaling.kind == "fixed"'
    call GET "v2/pods$base/pod::versions" | holds 'length == 2'
    answer=$(call GET "v2/pods$base/pod::status" | jq -c '.instances[0]')
    instance=$(jq -er .id <<<"$answer") task=$(jq -er '.containers[0].containerId' <<<"$answer")
    call DELETE "v2/pods$base/pod::instances" "[\"$instance\"]" | holds --arg id "$instance" 'length == 1 and .[0].instanceId == $id'
    until_ok eval "call GET v2/pods$base/pod::status | holds --arg id $task '.status == \"STABLE\" and (.instances | length) == 2 and all(.instances[].containers[]; .status == \"TASK_RUNNING\" and .containerId != \$id)'"
    answer=$(curl -sSf -i -X DELETE "$url/v2/pods$base/pod?force=true")
    id=$(deployment_of "$answer") && [ -n "$id" ] && watch "$id"
    [ "$(status GET "v2/pods$base/pod::status")" = 404 ]
}
remove() { # app remove
    call DELETE "v2/apps$base/app?force=true" | done_by
    [ "$(status DELETE "v2/apps$base/app")" = 404 ]
}

for step in "$@"; do "$step"; done
