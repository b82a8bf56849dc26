# Calls the methods of marathon-python (Debian: python3-marathon) on a server that others may use too, and prints one line
# per step: PASS name, or FAIL name and why. Arguments: URL of the server, group of the apps, names of the steps.
import sys
import threading
import time
import traceback

import marathon
from marathon.models import MarathonApp, MarathonGroup, MarathonHealthCheck
from marathon.models.constraint import MarathonConstraint
from marathon.models.deployment import MarathonDeploymentOriginalState, MarathonDeploymentTargetState
from marathon.models.queue import MarathonQueueItem

LIMIT = 60  # seconds a step may wait
URL, BASE = sys.argv[1], sys.argv[2]
client = marathon.MarathonClient(URL)
failures = 0


def newer(kind, *fields):
    """Lets a model pass over fields that Marathon has sent since 1.9 and that this client, which passes every key to a
    constructor, does not know. All other unknown fields still break it, as they would break its users."""
    strict = kind.from_json.__func__
    kind.from_json = classmethod(lambda cls, attributes: attributes and strict(cls, {k: v for k, v in attributes.items() if k not in fields}))


newer(MarathonQueueItem, "role")
newer(MarathonGroup, "enforceRole")
newer(MarathonApp, "tasksStats")
newer(MarathonDeploymentOriginalState)  # not sent at all since 1.8
newer(MarathonDeploymentTargetState)


def wait(what, condition):
    """Asks until the condition holds; its last value is returned."""
    end = time.monotonic() + LIMIT
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "not within %d s: %s" % (LIMIT, what)
        time.sleep(0.02)


def deployed(result):
    """Waits until the deployment of a change has left the list."""
    assert result["deploymentId"] and result["version"], result
    wait("deployment " + result["deploymentId"], lambda: result["deploymentId"] not in [d.id for d in client.list_deployments()])


def running(app_id, n, without=()):
    """Waits until the app has n running tasks, none of them in without."""
    def look():
        tasks = client.list_tasks(app_id)
        return len(tasks) == n and all(t.state == "TASK_RUNNING" and t.id not in without for t in tasks) and tasks
    return wait("%d tasks of %s" % (n, app_id), look) if n else wait("no tasks", lambda: not client.list_tasks(app_id))


def raises(kind, status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as e:
        assert status is None or e.status_code == status, "status %s" % e.status_code
        return e
    raise AssertionError("no " + kind.__name__)


def sleeper(**kwargs):
    return MarathonApp(cmd="sleep 1000", cpus=0.1, mem=16, **kwargs)


def system():
    assert client.ping() == b'"pong"', client.ping()  # this client accepts JSON only
    info = client.get_info()
    assert info.version.startswith("1."), info
    assert info.elected is True and ":" in info.leader, info.leader
    assert info.marathon_config.executor == "//cmd", info.marathon_config
    assert info.zookeeper_config.zk_timeout == 10000, info.zookeeper_config
    assert client.get_leader() == {"leader": info.leader}
    metrics = client.get_metrics()
    assert metrics["version"] == "4.0.0" and "marathon.apps.active.gauge" in metrics["gauges"], sorted(metrics)


def create():
    app = client.create_app(BASE + "/one", sleeper(
        instances=2, labels={"tier": "front"}, env={"COLOUR": "red"}, constraints=[MarathonConstraint(field="hostname", operator="LIKE", value=".*")]))
    assert app.id == BASE + "/one" and app.instances == 2 and len(app.deployments) == 1, app
    assert len(running(BASE + "/one", 2)) == 2
    app = wait("no deployment", lambda: (lambda a: not a.deployments and a)(client.get_app(BASE + "/one", embed_tasks=True, embed_counts=True, embed_task_stats=True)))
    assert app.tasks_running == 2 and len(app.tasks) == 2 and app.labels == {"tier": "front"} and app.env == {"COLOUR": "red"}, app
    assert app.constraints[0].field == "hostname" and app.constraints[0].operator == "LIKE", app.constraints
    assert app.cpus == 0.1 and app.mem == 16 and app.backoff_factor == 1.15 and app.max_launch_delay_seconds == 300, app
    for embed in ("tasks", "counts", "deployments", "readiness", "last_task_failure", "failures", "task_stats"):
        apps = client.list_apps(**{"embed_" + embed: True})
        assert [a.id for a in apps if a.id.startswith(BASE)] == [BASE + "/one"], apps
    assert [a.id for a in client.list_apps(cmd="SLEEP", app_id=BASE + "/on", label="tier==front")] == [BASE + "/one"]
    assert client.list_apps(app_id=BASE, label="tier==back") == []
    assert BASE + "/one" in [t.app_id for t in client.list_tasks()] and client.list_endpoints()
    raises(marathon.exceptions.ConflictError, 409, client.create_app, BASE + "/one", sleeper())
    raises(marathon.exceptions.NotFoundError, 404, client.get_app, BASE + "/none")
    e = raises(marathon.MarathonHttpError, 422, client.create_app, BASE + "/bad", MarathonApp(cpus=-1))
    assert e.error_message in ("Invalid JSON", "Object is not valid") and e.error_details[0]["path"], e


def health_checks():
    check = MarathonHealthCheck(protocol="COMMAND", command={"value": "true"}, grace_period_seconds=5, interval_seconds=10, timeout_seconds=2, max_consecutive_failures=1)
    app = client.create_app(BASE + "/checked", sleeper(instances=0, health_checks=[check]))
    got = client.get_app(BASE + "/checked").health_checks[0]
    assert (got.protocol, got.interval_seconds, got.command["value"]) == ("COMMAND", 10, "true"), got
    assert client.create_app(BASE + "/ports", sleeper(instances=0, ports=[0, 0])).port_definitions[1].port == 0
    for app_id in (BASE + "/checked", BASE + "/ports"):
        deployed(client.delete_app(app_id))


def update():
    first = client.get_app(BASE + "/one")
    deployed(client.update_app(BASE + "/one", sleeper(env={"COLOUR": "green"})))
    app = client.get_app(BASE + "/one")
    assert app.env == {"COLOUR": "green"} and app.instances == 2 and app.labels == {"tier": "front"}, app
    assert app.version_info.last_config_change_at == app.version_info.last_scaling_at, app.version_info
    versions = client.list_versions(BASE + "/one")
    assert len(versions) == 2 and app.version == versions[0], versions
    assert client.get_version(BASE + "/one", versions[1]).env == {"COLOUR": "red"}
    before = [t.id for t in running(BASE + "/one", 2)]
    deployed(client.restart_app(BASE + "/one"))
    running(BASE + "/one", 2, before)
    deployed(client.rollback_app(BASE + "/one", versions[1]))
    assert client.get_app(BASE + "/one").env == first.env
    deployed(client.update_apps([MarathonApp(id=BASE + "/one", labels={"tier": "back"}), sleeper(id=BASE + "/two")]))
    assert client.get_app(BASE + "/one").labels == {"tier": "back"} and len(running(BASE + "/two", 1)) == 1
    deployed(client.delete_app(BASE + "/two"))


def scale():
    deployed(client.scale_app(BASE + "/one", instances=4))
    running(BASE + "/one", 4)
    deployed(client.scale_app(BASE + "/one", delta=-1))
    running(BASE + "/one", 3)


def kill():
    tasks = running(BASE + "/one", 3)
    first = tasks[0]
    assert first.host and len(first.ports) == 1 and first.slave_id and first.staged_at and first.started_at, first
    assert client.kill_task(BASE + "/one", first.id).id == first.id
    tasks = running(BASE + "/one", 3, [first.id])
    assert client.kill_given_tasks([tasks[0].id])
    tasks = running(BASE + "/one", 3, [tasks[0].id])
    old = [t.id for t in tasks]
    assert sorted(t.id for t in client.kill_tasks(BASE + "/one")) == sorted(old)
    running(BASE + "/one", 3, old)
    assert client.kill_tasks(BASE + "/one", host="elsewhere") == []
    deployed(client.kill_task(BASE + "/one", client.list_tasks(BASE + "/one")[0].id, scale=True))
    running(BASE + "/one", 2)
    assert client.get_app(BASE + "/one").instances == 2
    old = [t.id for t in client.list_tasks(BASE + "/one")]
    client.kill_tasks(BASE + "/one", wipe=True)
    running(BASE + "/one", 2, old)
    unknown = "one.instance-3f0c5a1e-9d1b-11ec-8d5d-0242ac110002._app.1"
    raises(marathon.exceptions.NotFoundError, 404, client.kill_task, BASE + "/one", unknown)


def waiting():
    app = client.create_app(BASE + "/big", MarathonApp(cmd="sleep 1000", cpus=1000, mem=16))
    deployment = wait("a deployment", lambda: [d for d in client.list_deployments() if d.id == app.deployments[0].id])[0]
    assert deployment.affected_apps == [BASE + "/big"] and deployment.affected_pods == [], deployment
    assert deployment.total_steps == 2 and [a.action for s in deployment.steps for a in s.actions] == ["StartApplication", "ScaleApplication"], deployment
    mine = lambda **embed: [i for i in client.list_queue(**embed) if i.app.id == BASE + "/big"]
    item = wait("an item in the queue", lambda: mine(embed_last_unused_offers=True))[0]
    assert item.count == 1 and item.delay.overdue is True and item.delay.time_left_seconds == 0, item
    wait("offers refused", lambda: mine()[0].processed_offers_summary["unusedOffersCount"] > 0)
    summary = mine()[0].processed_offers_summary["rejectSummaryLaunchAttempt"]
    assert len(summary) == 10 and [r["declined"] > 0 for r in summary if r["reason"] == "InsufficientCpus"] == [True], summary
    client.reset_delay(BASE + "/big")
    raises(marathon.exceptions.NotFoundError, 404, client.reset_delay, BASE + "/one")
    raises(marathon.exceptions.ConflictError, 409, client.update_app, BASE + "/big", MarathonApp(instances=2))
    deployed(client.delete_deployment(deployment.id))
    raises(marathon.exceptions.NotFoundError, 404, client.get_app, BASE + "/big")
    app = client.create_app(BASE + "/big", MarathonApp(cmd="sleep 1000", cpus=1000, mem=16))
    assert client.delete_deployment(app.deployments[0].id, force=True) == {}
    wait("no deployment", lambda: BASE + "/big" not in [a for d in client.list_deployments() for a in d.affected_apps])
    assert client.get_app(BASE + "/big").id == BASE + "/big"  # stays half-way
    deployed(client.delete_app(BASE + "/big", force=True))


def groups():
    result = client.create_group(MarathonGroup(id=BASE + "/team", apps=[sleeper(id=BASE + "/team/a"), sleeper(id=BASE + "/team/b", dependencies=[BASE + "/team/a"])],
                                               groups=[MarathonGroup(id=BASE + "/team/sub", apps=[sleeper(id=BASE + "/team/sub/c")])]))
    deployed(result)
    group = client.get_group(BASE + "/team")
    assert sorted(a.id for a in group.apps) == [BASE + "/team/a", BASE + "/team/b"] and group.groups[0].apps[0].id == BASE + "/team/sub/c", group
    assert [g.id for g in client.list_groups() if BASE.startswith(g.id + "/")]
    deployed(client.scale_group(BASE + "/team", 2))
    assert client.get_app(BASE + "/team/a").instances == 2 and client.get_app(BASE + "/team/sub/c").instances == 2
    deployed(client.update_group(BASE + "/team", MarathonGroup(id=BASE + "/team", apps=[sleeper(id=BASE + "/team/a", instances=1)])))
    assert [a.id for a in client.get_group(BASE + "/team").apps] == [BASE + "/team/a"]
    deployed(client.delete_group(BASE + "/team", force=True))
    raises(marathon.exceptions.NotFoundError, 404, client.get_group, BASE + "/team")


def events():
    seen, broken, stop = {}, [], threading.Event()

    def mine(event):  # others come from other users of the server
        app_id = getattr(event, "app_id", None) or getattr(event, "run_spec_id", None) or (getattr(event, "app_definition", None) or {}).get("id")
        return app_id is None or app_id.startswith(BASE)

    attached = threading.Event()

    def listen():
        try:
            for event in client.event_stream():
                if mine(event):
                    seen.setdefault(event.event_type, []).append(event)
                attached.set()  # its own event_stream_attached comes first
                if stop.is_set():
                    return
        except Exception:
            broken.append(traceback.format_exc())

    threading.Thread(target=listen, daemon=True).start()
    assert attached.wait(LIMIT), "no event_stream_attached"
    app = client.create_app(BASE + "/seen", sleeper())
    wanted = ["api_post_event", "group_change_success", "deployment_info", "deployment_step_success", "deployment_success", "status_update_event", "instance_changed_event"]
    wait("an event of each of " + ", ".join(wanted), lambda: broken or all(w in seen for w in wanted))
    assert not broken, broken
    wait("TASK_RUNNING", lambda: any(e.task_status == "TASK_RUNNING" and e.app_id == BASE + "/seen" and len(e.ports) == 1 for e in seen["status_update_event"]))
    wait("Running", lambda: any(e.condition == "Running" and e.run_spec_id == BASE + "/seen" for e in seen["instance_changed_event"]))
    wait("the success of its deployment", lambda: app.deployments[0].id in [e.id for e in seen["deployment_success"]])
    assert seen["api_post_event"][0].app_definition["id"] == BASE + "/seen", seen["api_post_event"]
    deployed(client.delete_app(BASE + "/seen"))
    wait("app_terminated_event", lambda: any(e.app_id == BASE + "/seen" for e in seen.get("app_terminated_event", [])))
    stop.set()
    # with a filter nothing else comes
    only = client.event_stream(raw=True, event_types=["event_stream_attached"])
    assert "event_stream_attached" in next(only)


def callbacks():
    raises(marathon.exceptions.NotFoundError, 404, client.list_event_subscriptions)
    raises(marathon.exceptions.NotFoundError, 404, client.create_event_subscription, "http://127.0.0.1:1/")
    raises(marathon.exceptions.NotFoundError, 404, client.delete_event_subscription, "http://127.0.0.1:1/")


def delete():
    deployed(client.delete_app(BASE + "/one"))
    assert client.list_apps(app_id=BASE) == [] and [t for t in client.list_tasks() if t.app_id.startswith(BASE)] == []
    raises(marathon.exceptions.NotFoundError, 404, client.delete_app, BASE + "/one")


def abdicate():
    assert client.delete_leader()["message"] == "Leadership abdicated"


for name in sys.argv[3:]:
    try:
        globals()[name]()
        print("PASS", name, flush=True)
    except Exception:
        failures += 1
        print("FAIL", name, traceback.format_exc().replace("\n", "\t"), flush=True)
sys.exit(failures > 0)
