# Calls the methods of marathon-python (Debian: python3-marathon) on the server whose URL is the argument, and prints
# one line per step: PASS name, or FAIL name and why.
import sys
import threading
import time
import traceback

import marathon
from marathon.models import MarathonApp, MarathonGroup, MarathonHealthCheck
from marathon.models.constraint import MarathonConstraint
from marathon.models.deployment import MarathonDeploymentOriginalState, MarathonDeploymentTargetState
from marathon.models.queue import MarathonQueueItem

LIMIT = 30  # seconds a step may wait
client = marathon.MarathonClient(sys.argv[1])
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
    assert info.name == "marathon" and info.version.startswith("1.11."), info
    assert info.elected is True and sys.argv[1].endswith(info.leader), info.leader
    assert info.marathon_config.executor == "//cmd", info.marathon_config
    assert info.zookeeper_config.zk_timeout == 10000, info.zookeeper_config
    assert client.get_leader() == {"leader": info.leader}
    metrics = client.get_metrics()
    assert metrics["version"] == "4.0.0" and "marathon.apps.active.gauge" in metrics["gauges"], sorted(metrics)


def create():
    app = client.create_app("/one", sleeper(
        instances=2, labels={"tier": "front"}, env={"COLOUR": "red"}, constraints=[MarathonConstraint(field="hostname", operator="LIKE", value="127.*")]))
    assert app.id == "/one" and app.instances == 2 and len(app.deployments) == 1, app
    assert len(running("/one", 2)) == 2
    app = wait("no deployment", lambda: (lambda a: not a.deployments and a)(client.get_app("/one", embed_tasks=True, embed_counts=True, embed_task_stats=True)))
    assert app.tasks_running == 2 and len(app.tasks) == 2 and app.labels == {"tier": "front"} and app.env == {"COLOUR": "red"}, app
    assert app.constraints[0].field == "hostname" and app.constraints[0].operator == "LIKE", app.constraints
    assert app.cpus == 0.1 and app.mem == 16 and app.backoff_factor == 1.15 and app.max_launch_delay_seconds == 300, app
    for embed in ("tasks", "counts", "deployments", "readiness", "last_task_failure", "failures", "task_stats"):
        apps = client.list_apps(**{"embed_" + embed: True})
        assert [a.id for a in apps] == ["/one"], apps
    assert [a.id for a in client.list_apps(cmd="SLEEP", app_id="on", label="tier==front")] == ["/one"]
    assert client.list_apps(label="tier==back") == []
    assert "/one" in [t.app_id for t in client.list_tasks()] and client.list_endpoints()
    raises(marathon.exceptions.ConflictError, 409, client.create_app, "/one", sleeper())
    raises(marathon.exceptions.NotFoundError, 404, client.get_app, "/none")
    e = raises(marathon.MarathonHttpError, 422, client.create_app, "/bad", MarathonApp(cpus=-1))
    assert e.error_message in ("Invalid JSON", "Object is not valid") and e.error_details[0]["path"], e


def health_checks():
    check = MarathonHealthCheck(protocol="COMMAND", command={"value": "true"}, grace_period_seconds=5, interval_seconds=10, timeout_seconds=2, max_consecutive_failures=1)
    app = client.create_app("/checked", sleeper(instances=0, health_checks=[check]))
    got = client.get_app("/checked").health_checks[0]
    assert (got.protocol, got.interval_seconds, got.command["value"]) == ("COMMAND", 10, "true"), got
    assert client.create_app("/ports", sleeper(instances=0, ports=[0, 0])).port_definitions[1].port == 0
    for app_id in ("/checked", "/ports"):
        deployed(client.delete_app(app_id))


def update():
    first = client.get_app("/one")
    deployed(client.update_app("/one", sleeper(env={"COLOUR": "green"})))
    app = client.get_app("/one")
    assert app.env == {"COLOUR": "green"} and app.instances == 2 and app.labels == {"tier": "front"}, app
    assert app.version_info.last_config_change_at == app.version_info.last_scaling_at, app.version_info
    versions = client.list_versions("/one")
    assert len(versions) == 2 and app.version == versions[0], versions
    assert client.get_version("/one", versions[1]).env == {"COLOUR": "red"}
    before = [t.id for t in running("/one", 2)]
    deployed(client.restart_app("/one"))
    running("/one", 2, before)
    deployed(client.rollback_app("/one", versions[1]))
    assert client.get_app("/one").env == first.env
    deployed(client.update_apps([MarathonApp(id="/one", labels={"tier": "back"}), sleeper(id="/two")]))
    assert client.get_app("/one").labels == {"tier": "back"} and len(running("/two", 1)) == 1
    deployed(client.delete_app("/two"))


def scale():
    deployed(client.scale_app("/one", instances=4))
    running("/one", 4)
    deployed(client.scale_app("/one", delta=-1))
    running("/one", 3)


def kill():
    tasks = running("/one", 3)
    first = tasks[0]
    assert first.host == "127.0.0.1" and len(first.ports) == 1 and first.slave_id and first.staged_at and first.started_at, first
    assert client.kill_task("/one", first.id).id == first.id
    tasks = running("/one", 3, [first.id])
    assert client.kill_given_tasks([tasks[0].id])
    tasks = running("/one", 3, [tasks[0].id])
    old = [t.id for t in tasks]
    assert sorted(t.id for t in client.kill_tasks("/one")) == sorted(old)
    running("/one", 3, old)
    assert client.kill_tasks("/one", host="elsewhere") == []
    deployed(client.kill_task("/one", client.list_tasks("/one")[0].id, scale=True))
    running("/one", 2)
    assert client.get_app("/one").instances == 2
    old = [t.id for t in client.list_tasks("/one")]
    client.kill_tasks("/one", wipe=True)
    running("/one", 2, old)
    unknown = "one.instance-3f0c5a1e-9d1b-11ec-8d5d-0242ac110002._app.1"
    raises(marathon.exceptions.NotFoundError, 404, client.kill_task, "/one", unknown)


def waiting():
    app = client.create_app("/big", MarathonApp(cmd="sleep 1000", cpus=1000, mem=16))
    deployment = wait("a deployment", client.list_deployments)[0]
    assert deployment.id == app.deployments[0].id and deployment.affected_apps == ["/big"] and deployment.affected_pods == [], deployment
    assert deployment.total_steps == 2 and [a.action for s in deployment.steps for a in s.actions] == ["StartApplication", "ScaleApplication"], deployment
    item = wait("an item in the queue", lambda: client.list_queue(embed_last_unused_offers=True))[0]
    assert item.app.id == "/big" and item.count == 1 and item.delay.overdue is True and item.delay.time_left_seconds == 0, item
    wait("offers refused", lambda: client.list_queue()[0].processed_offers_summary["unusedOffersCount"] > 0)
    summary = client.list_queue()[0].processed_offers_summary["rejectSummaryLaunchAttempt"]
    assert len(summary) == 10 and [r["declined"] > 0 for r in summary if r["reason"] == "InsufficientCpus"] == [True], summary
    client.reset_delay("/big")
    raises(marathon.exceptions.NotFoundError, 404, client.reset_delay, "/one")
    raises(marathon.exceptions.ConflictError, 409, client.update_app, "/big", MarathonApp(instances=2))
    deployed(client.delete_deployment(deployment.id))
    raises(marathon.exceptions.NotFoundError, 404, client.get_app, "/big")
    app = client.create_app("/big", MarathonApp(cmd="sleep 1000", cpus=1000, mem=16))
    assert client.delete_deployment(app.deployments[0].id, force=True) == {}
    wait("no deployment", lambda: not client.list_deployments())
    assert client.get_app("/big").id == "/big"  # stays half-way
    deployed(client.delete_app("/big", force=True))


def groups():
    result = client.create_group(MarathonGroup(id="/team", apps=[sleeper(id="/team/a"), sleeper(id="/team/b", dependencies=["/team/a"])],
                                               groups=[MarathonGroup(id="/team/sub", apps=[sleeper(id="/team/sub/c")])]))
    deployed(result)
    group = client.get_group("/team")
    assert sorted(a.id for a in group.apps) == ["/team/a", "/team/b"] and group.groups[0].apps[0].id == "/team/sub/c", group
    assert [g.id for g in client.list_groups()] == ["/team"]
    deployed(client.scale_group("/team", 2))
    assert client.get_app("/team/a").instances == 2 and client.get_app("/team/sub/c").instances == 2
    deployed(client.update_group("/team", MarathonGroup(id="/team", apps=[sleeper(id="/team/a", instances=1)])))
    assert [a.id for a in client.get_group("/team").apps] == ["/team/a"]
    deployed(client.delete_group("/team", force=True))
    raises(marathon.exceptions.NotFoundError, 404, client.get_group, "/team")


def events():
    seen, broken, stop = {}, [], threading.Event()
    attached = threading.Event()

    def listen():
        try:
            for event in client.event_stream():
                seen.setdefault(event.event_type, []).append(event)
                attached.set()  # its own event_stream_attached comes first
                if stop.is_set():
                    return
        except Exception:
            broken.append(traceback.format_exc())

    threading.Thread(target=listen, daemon=True).start()
    assert attached.wait(LIMIT), "no event_stream_attached"
    app = client.create_app("/seen", sleeper())
    wanted = ["api_post_event", "group_change_success", "deployment_info", "deployment_step_success", "deployment_success", "status_update_event", "instance_changed_event"]
    wait("an event of each of " + ", ".join(wanted), lambda: broken or all(w in seen for w in wanted))
    assert not broken, broken
    wait("TASK_RUNNING", lambda: any(e.task_status == "TASK_RUNNING" and e.app_id == "/seen" and len(e.ports) == 1 for e in seen["status_update_event"]))
    wait("Running", lambda: any(e.condition == "Running" and e.run_spec_id == "/seen" for e in seen["instance_changed_event"]))
    assert seen["deployment_success"][0].id == app.deployments[0].id
    assert seen["api_post_event"][0].app_definition["id"] == "/seen", seen["api_post_event"]
    deployed(client.delete_app("/seen"))
    wait("app_terminated_event", lambda: any(e.app_id == "/seen" for e in seen.get("app_terminated_event", [])))
    stop.set()
    # with a filter nothing else comes
    only = client.event_stream(raw=True, event_types=["event_stream_attached"])
    assert "event_stream_attached" in next(only)


def callbacks():
    raises(marathon.exceptions.NotFoundError, 404, client.list_event_subscriptions)
    raises(marathon.exceptions.NotFoundError, 404, client.create_event_subscription, "http://127.0.0.1:1/")
    raises(marathon.exceptions.NotFoundError, 404, client.delete_event_subscription, "http://127.0.0.1:1/")


def delete():
    deployed(client.delete_app("/one"))
    assert client.list_apps() == [] and client.list_tasks() == []
    raises(marathon.exceptions.NotFoundError, 404, client.delete_app, "/one")


def abdicate():
    assert client.delete_leader()["message"] == "Leadership abdicated"


for step in (system, create, health_checks, update, scale, kill, waiting, groups, events, callbacks, delete, abdicate):
    try:
        step()
        print("PASS", step.__name__, flush=True)
    except Exception:
        failures += 1
        print("FAIL", step.__name__, traceback.format_exc().replace("\n", "\t"), flush=True)
sys.exit(failures > 0)
