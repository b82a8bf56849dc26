package marathonapi

// The content types of the table.
const (
	typeJSON  = "application/json"
	typeText  = "text/plain"
	typeHTML  = "text/html"
	typeEvent = "text/event-stream"
)

// Route is one line of http-api.md section 2.
type Route struct {
	Method   string
	Pattern  string   // {x} is one segment, {x+} one or more
	Query    []string // names of the query parameters it knows
	Consumes string   // content type of the body; empty: any or none
	Produces []string // content types it can answer with; none: it decides itself
	Section  string   // of http-api.md
	Summary  string
	Needs    Needs // of its client
	// Final: another method on this path is a 405, never a look at the next pattern.
	Final  bool
	handle func(*Server, *request) error
}

var asJSON = []string{typeJSON}

// Routes is the table of all routes. Where several patterns match a path the first one wins; if it lacks the method
// and is not Final, the next one is asked: DELETE /v2/apps/a/restart deletes the app /a/restart (http-api.md 4.1).
func Routes() []Route {
	var all []Route
	for _, part := range [][]Route{systemRoutes, appRoutes, groupRoutes, podRoutes, otherRoutes} {
		all = append(all, part...)
	}
	return all
}

var systemRoutes = []Route{
	{Method: "GET", Pattern: "/", Section: "3.1", Summary: "redirect to the web UI", Needs: needNothing, handle: redirectTo("/ui/")},
	{Method: "GET", Pattern: "/ui", Section: "3.1", Summary: "/ui redirects to the web UI, /ui/", Needs: needNothing, handle: (*Server).uiRoot},
	{Method: "GET", Pattern: "/help", Section: "3.1", Summary: "redirect to the API console", Needs: needNothing, handle: redirectTo("api-console/index.html")},
	{Method: "GET", Pattern: "/ui/{file+}", Section: "3.1", Summary: "web UI", Needs: needNothing, handle: (*Server).uiFile},
	{Method: "GET", Pattern: "/api-console/{file+}", Section: "3.1", Summary: "API console", Needs: needNothing, handle: (*Server).static},
	{Method: "GET", Pattern: "/public/{file+}", Section: "3.1", Summary: "descriptions of the API", Needs: needNothing, handle: (*Server).static},
	{Method: "GET", Pattern: "/ping", Section: "3.2", Summary: "is a leader there", Needs: needNothing, handle: (*Server).ping},
	{Method: "GET", Pattern: "/metrics", Produces: asJSON, Section: "3.3", Summary: "metrics as JSON", Needs: needSystem, handle: (*Server).metricsJSON},
	{Method: "GET", Pattern: "/metrics/prometheus", Section: "3.4", Summary: "metrics for Prometheus", Needs: needSystem, handle: (*Server).metricsPrometheus},
	{Method: "GET", Pattern: "/logging", Produces: asJSON, Section: "3.5", Summary: "log levels", Needs: needSystem, handle: (*Server).getLogging},
	{Method: "POST", Pattern: "/logging", Consumes: typeJSON, Produces: asJSON, Section: "3.5", Summary: "set a log level", Needs: needLogging, handle: (*Server).setLogging},
	{Method: "GET", Pattern: "/config", Produces: asJSON, Section: "3.6", Summary: "configuration of the process", Needs: needSystem, handle: (*Server).config},
}

var (
	queryForce = []string{"force", "dryRun"}
	queryPut   = []string{"force", "partialUpdate", "dryRun"}
	queryKill  = []string{"scale", "force", "wipe"}
	queryEmbed = []string{"embed"}
)

var appRoutes = []Route{
	{Method: "GET", Pattern: "/v2/apps", Query: []string{"cmd", "id", "label", "embed"}, Produces: asJSON, Section: "4.2", Summary: "list apps", Needs: needFilter, handle: (*Server).listApps},
	{Method: "POST", Pattern: "/v2/apps", Query: queryForce, Consumes: typeJSON, Produces: asJSON, Section: "4.6", Summary: "create an app", Needs: needCreate, handle: (*Server).createApp},
	{Method: "PUT", Pattern: "/v2/apps", Query: queryPut, Consumes: typeJSON, Produces: asJSON, Section: "4.6", Summary: "create or update several apps", Needs: needGroup, handle: (*Server).putApps},
	{Method: "PATCH", Pattern: "/v2/apps", Query: queryForce, Consumes: typeJSON, Produces: asJSON, Section: "4.6", Summary: "update several apps", Needs: needGroup, handle: (*Server).patchApps},
	{Method: "GET", Pattern: "/v2/apps/*/tasks", Produces: taskTypes, Section: "5.2", Summary: "tasks of all apps", Final: true, Needs: needViewIn, handle: (*Server).groupTasks},
	{Method: "GET", Pattern: "/v2/apps/*", Query: queryEmbed, Produces: asJSON, Section: "4.1", Summary: "all apps", Needs: needViewIn, handle: (*Server).wildcardApps},
	{Method: "GET", Pattern: "/v2/apps/{id+}/*/tasks", Produces: taskTypes, Section: "5.2", Summary: "tasks of the apps below a group", Final: true, Needs: needViewIn, handle: (*Server).groupTasks},
	{Method: "GET", Pattern: "/v2/apps/{id+}/*", Query: queryEmbed, Produces: asJSON, Section: "4.1", Summary: "apps below a group", Needs: needViewIn, handle: (*Server).wildcardApps},
	{Method: "GET", Pattern: "/v2/apps/{id+}/tasks", Query: []string{"containerNetworks"}, Produces: taskTypes, Section: "5.2", Summary: "tasks of an app", Final: true, Needs: needView, handle: (*Server).appTasks},
	{Method: "DELETE", Pattern: "/v2/apps/{id+}/tasks", Query: []string{"host", "scale", "force", "wipe"}, Produces: asJSON, Section: "5.2", Summary: "kill tasks of an app", Final: true, Needs: needUpdate, handle: (*Server).killAppTasks},
	{Method: "DELETE", Pattern: "/v2/apps/{id+}/tasks/{task}", Query: queryKill, Produces: asJSON, Section: "5.2", Summary: "kill one task", Final: true, Needs: needUpdate, handle: (*Server).killOneTask},
	{Method: "GET", Pattern: "/v2/apps/{id+}/versions", Produces: asJSON, Section: "4.1", Summary: "versions of an app", Final: true, Needs: needView, handle: (*Server).appVersions},
	{Method: "GET", Pattern: "/v2/apps/{id+}/versions/{version}", Produces: asJSON, Section: "4.1", Summary: "one version of an app", Final: true, Needs: needView, handle: (*Server).appVersion},
	{Method: "POST", Pattern: "/v2/apps/{id+}/restart", Query: queryForce, Produces: asJSON, Section: "4.6", Summary: "replace all instances", Needs: needUpdate, handle: (*Server).restartApp},
	{Method: "GET", Pattern: "/v2/apps/{id+}/explain", Produces: asJSON, Section: "18", Summary: "why an app does not run as wanted (extension)", Needs: needView, handle: (*Server).explain},
	{Method: "GET", Pattern: "/v2/apps/{id+}", Query: queryEmbed, Produces: asJSON, Section: "4.1", Summary: "one app", Needs: needView, handle: (*Server).getApp},
	{Method: "PUT", Pattern: "/v2/apps/{id+}", Query: queryPut, Consumes: typeJSON, Produces: asJSON, Section: "4.6", Summary: "create or update an app", Needs: needPut, handle: (*Server).putApp},
	{Method: "PATCH", Pattern: "/v2/apps/{id+}", Query: queryForce, Consumes: typeJSON, Produces: asJSON, Section: "4.6", Summary: "update an app", Needs: needUpdate, handle: (*Server).patchApp},
	{Method: "DELETE", Pattern: "/v2/apps/{id+}", Query: queryForce, Produces: asJSON, Section: "4.6", Summary: "remove an app", Needs: needDelete, handle: (*Server).deleteApp},
}

var groupRoutes = []Route{
	{Method: "GET", Pattern: "/v2/groups/versions/{version}", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "the root group at a version", Needs: needViewIn, handle: (*Server).groupVersion},
	{Method: "GET", Pattern: "/v2/groups/versions", Produces: asJSON, Section: "6.3", Summary: "versions of the tree", Needs: needViewIn, handle: (*Server).groupVersions},
	{Method: "GET", Pattern: "/v2/groups/apps", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "all apps", Needs: needViewIn, handle: (*Server).groupApps},
	{Method: "GET", Pattern: "/v2/groups/{id+}/versions/{version}", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "a group at a version", Needs: needViewIn, handle: (*Server).groupVersion},
	{Method: "GET", Pattern: "/v2/groups/{id+}/versions", Produces: asJSON, Section: "6.3", Summary: "versions of a group", Needs: needViewIn, handle: (*Server).groupVersions},
	{Method: "GET", Pattern: "/v2/groups/{id+}/apps", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "apps of a group and below", Needs: needViewIn, handle: (*Server).groupApps},
	{Method: "GET", Pattern: "/v2/groups", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "the root group", Needs: needViewIn, handle: (*Server).getGroup},
	{Method: "POST", Pattern: "/v2/groups", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "create a group", Needs: needGroup, handle: (*Server).createGroup},
	{Method: "PUT", Pattern: "/v2/groups", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "update the root group", Needs: needGroup, handle: (*Server).putGroup},
	{Method: "DELETE", Pattern: "/v2/groups", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "remove everything", Needs: needGroup, handle: (*Server).deleteGroup},
	{Method: "GET", Pattern: "/v2/groups/{id+}", Query: queryEmbed, Produces: asJSON, Section: "6.3", Summary: "a group", Needs: needViewIn, handle: (*Server).getGroup},
	{Method: "POST", Pattern: "/v2/groups/{id+}", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "create a group", Needs: needGroup, handle: (*Server).createGroup},
	{Method: "PUT", Pattern: "/v2/groups/{id+}", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "create or update a group", Needs: needGroup, handle: (*Server).putGroup},
	{Method: "PATCH", Pattern: "/v2/groups/{id+}", Query: []string{"dryRun"}, Produces: asJSON, Section: "6.6", Summary: "set enforceRole", Needs: needGroup, handle: (*Server).patchGroup},
	{Method: "DELETE", Pattern: "/v2/groups/{id+}", Query: queryForce, Produces: asJSON, Section: "6.3", Summary: "remove a group and all below", Needs: needGroup, handle: (*Server).deleteGroup},
}

var podRoutes = []Route{
	{Method: "GET", Pattern: "/v2/pods", Produces: asJSON, Section: "7.1", Summary: "list pods", Needs: needFilter, handle: (*Server).listPods},
	{Method: "POST", Pattern: "/v2/pods", Query: queryForce, Consumes: typeJSON, Produces: asJSON, Section: "7.1", Summary: "create a pod", Needs: needCreate, handle: (*Server).createPod},
	{Method: "GET", Pattern: "/v2/pods/::status", Produces: asJSON, Section: "7.1", Summary: "status of all pods", Final: true, Needs: needFilter, handle: (*Server).podStatuses},
	{Method: "GET", Pattern: "/v2/pods/{id+}::status", Produces: asJSON, Section: "7.1", Summary: "status of a pod", Final: true, Needs: needView, handle: (*Server).podStatus},
	{Method: "GET", Pattern: "/v2/pods/{id+}::versions", Produces: asJSON, Section: "7.1", Summary: "versions of a pod", Final: true, Needs: needView, handle: (*Server).podVersions},
	{Method: "GET", Pattern: "/v2/pods/{id+}::versions/{version}", Produces: asJSON, Section: "7.1", Summary: "one version of a pod", Final: true, Needs: needView, handle: (*Server).podVersion},
	{Method: "DELETE", Pattern: "/v2/pods/{id+}::instances", Query: []string{"wipe"}, Consumes: typeJSON, Produces: asJSON, Section: "7.1", Summary: "kill instances of a pod", Final: true, Needs: needUpdate, handle: (*Server).killPodInstances},
	{Method: "DELETE", Pattern: "/v2/pods/{id+}::instances/{instance}", Query: []string{"wipe"}, Produces: asJSON, Section: "7.1", Summary: "kill one instance of a pod", Final: true, Needs: needUpdate, handle: (*Server).killPodInstance},
	{Method: "GET", Pattern: "/v2/pods/{id+}", Produces: asJSON, Section: "7.1", Summary: "one pod", Needs: needView, handle: (*Server).getPod},
	{Method: "PUT", Pattern: "/v2/pods/{id+}", Query: queryForce, Consumes: typeJSON, Produces: asJSON, Section: "7.1", Summary: "create or replace a pod", Needs: needPut, handle: (*Server).putPod},
	{Method: "DELETE", Pattern: "/v2/pods/{id+}", Query: queryForce, Section: "7.1", Summary: "remove a pod", Needs: needDelete, handle: (*Server).deletePod},
}

var otherRoutes = []Route{
	{Method: "GET", Pattern: "/v2/deployments", Query: queryEmbed, Produces: asJSON, Section: "8.1", Summary: "running deployments", Needs: needFilter, handle: (*Server).listDeployments},
	{Method: "DELETE", Pattern: "/v2/deployments/{id}", Query: []string{"force"}, Produces: asJSON, Section: "8.1", Summary: "revert or stop a deployment", Needs: needAny, handle: (*Server).cancelDeployment},
	{Method: "POST", Pattern: "/v2/deployments/{id}/pause", Produces: asJSON, Section: "18", Summary: "hold a deployment (extension)", Needs: needAny, handle: steer("pause")},
	{Method: "POST", Pattern: "/v2/deployments/{id}/resume", Produces: asJSON, Section: "18", Summary: "let a held deployment go on (extension)", Needs: needAny, handle: steer("resume")},
	{Method: "POST", Pattern: "/v2/deployments/{id}/promote", Produces: asJSON, Section: "18", Summary: "let a canary become all (extension)", Needs: needAny, handle: steer("promote")},
	{Method: "GET", Pattern: "/v2/tasks", Query: []string{"status", "status[]", "containerNetworks"}, Produces: taskTypes, Section: "5.2", Summary: "tasks of all apps", Needs: needFilter, handle: (*Server).allTasks},
	{Method: "POST", Pattern: "/v2/tasks/delete", Query: queryKill, Consumes: typeJSON, Produces: asJSON, Section: "5.2", Summary: "kill tasks by id", Needs: needAny, handle: (*Server).killTasks},
	{Method: "GET", Pattern: "/v2/queue", Query: queryEmbed, Produces: asJSON, Section: "9.1", Summary: "what waits for offers", Needs: needFilter, handle: (*Server).queue},
	{Method: "DELETE", Pattern: "/v2/queue/{id+}/delay", Section: "9.2", Summary: "forget the back-off of a spec", Needs: needUpdate, handle: (*Server).resetDelay},
	{Method: "GET", Pattern: "/v2/info", Produces: asJSON, Section: "10.1", Summary: "about the server", Needs: needAny, handle: (*Server).info},
	{Method: "GET", Pattern: "/v2/leader", Produces: asJSON, Section: "10.2", Summary: "who leads", Needs: needAny, handle: (*Server).getLeader},
	{Method: "DELETE", Pattern: "/v2/leader", Query: []string{"backup", "restore"}, Produces: asJSON, Section: "10.2", Summary: "give the leadership up", Needs: needLeader, handle: (*Server).abdicate},
	{Method: "GET", Pattern: "/v2/openapi.json", Produces: asJSON, Section: "18", Summary: "this document", Needs: needAny, handle: (*Server).openAPI},
	{Method: "GET", Pattern: "/v2/plugins", Produces: asJSON, Section: "10.3", Summary: "plugins: none", Needs: needAny, handle: (*Server).plugins},
	{Method: "GET", Pattern: "/v2/plugins/{id}/{path+}", Section: "10.3", Summary: "a plugin's own paths", Needs: needAny, handle: (*Server).plugin},
	{Method: "PUT", Pattern: "/v2/plugins/{id}/{path+}", Section: "10.3", Summary: "a plugin's own paths", Needs: needAny, handle: (*Server).plugin},
	{Method: "POST", Pattern: "/v2/plugins/{id}/{path+}", Section: "10.3", Summary: "a plugin's own paths", Needs: needAny, handle: (*Server).plugin},
	{Method: "DELETE", Pattern: "/v2/plugins/{id}/{path+}", Section: "10.3", Summary: "a plugin's own paths", Needs: needAny, handle: (*Server).plugin},
	{Method: "GET", Pattern: eventsPath, Query: []string{"event_type", "plan-format"}, Section: "11.1", Summary: "stream of events", Needs: needAny, handle: (*Server).events},
}

const eventsPath = "/v2/events"

var taskTypes = []string{typeJSON, typeText}
