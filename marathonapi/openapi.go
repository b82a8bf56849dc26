package marathonapi

import (
	"net/http"
	"strings"
	"sync"

	"stadion/core"
)

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// The shapes below describe what is encoded by hand; the tests hold every answer against them.

type appInfoShape struct {
	core.App
	TasksStaged     *int              `json:"tasksStaged,omitempty"`
	TasksRunning    *int              `json:"tasksRunning,omitempty"`
	TasksHealthy    *int              `json:"tasksHealthy,omitempty"`
	TasksUnhealthy  *int              `json:"tasksUnhealthy,omitempty"`
	Deployments     []idShape         `json:"deployments,omitempty"`
	Readiness       []readinessShape  `json:"readinessCheckResults,omitempty"`
	Tasks           []taskShape       `json:"tasks,omitempty"`
	LastTaskFailure *core.TaskFailure `json:"lastTaskFailure,omitempty"`
	TasksStats      *taskStats        `json:"tasksStats,omitempty"`
}

type idShape struct {
	ID string `json:"id"`
}

type readinessShape struct {
	Name         string      `json:"name"`
	TaskID       core.TaskID `json:"taskId"`
	Ready        bool        `json:"ready"`
	LastResponse *struct {
		Status      int    `json:"status"`
		ContentType string `json:"contentType"`
		Body        string `json:"body"`
	} `json:"lastResponse,omitempty"`
}

type taskShape struct {
	AppID        core.PathID      `json:"appId"`
	Health       []healthShape    `json:"healthCheckResults"`
	CheckResult  object           `json:"checkResult,omitempty"`
	Host         string           `json:"host,omitempty"`
	ID           core.TaskID      `json:"id"`
	IPAddresses  []core.IPAddress `json:"ipAddresses"`
	Ports        []int            `json:"ports"`
	ServicePorts []int            `json:"servicePorts"`
	SlaveID      string           `json:"slaveId,omitempty"`
	State        string           `json:"state"`
	StagedAt     core.Timestamp   `json:"stagedAt,omitzero"`
	StartedAt    core.Timestamp   `json:"startedAt,omitzero"`
	Version      core.Timestamp   `json:"version,omitzero"`
	LocalVolumes []podVolume      `json:"localVolumes"`
	Region       string           `json:"region,omitempty"`
	Zone         string           `json:"zone,omitempty"`
	Role         string           `json:"role"`
}

type healthShape struct {
	Alive               bool           `json:"alive"`
	ConsecutiveFailures int            `json:"consecutiveFailures"`
	FirstSuccess        core.Timestamp `json:"firstSuccess,omitzero"`
	LastSuccess         core.Timestamp `json:"lastSuccess,omitzero"`
	LastFailure         core.Timestamp `json:"lastFailure,omitzero"`
	LastFailureCause    string         `json:"lastFailureCause,omitempty"`
	InstanceID          string         `json:"instanceId"`
}

type groupShape struct {
	ID           core.PathID    `json:"id"`
	Apps         []appInfoShape `json:"apps"`
	Pods         []podInfo      `json:"pods"`
	Groups       []object       `json:"groups"`
	Dependencies []core.PathID  `json:"dependencies"`
	Version      core.Timestamp `json:"version,omitzero"`
	EnforceRole  *bool          `json:"enforceRole,omitempty"`
}

type deploymentShape struct {
	ID             string          `json:"id"`
	Version        core.Timestamp  `json:"version"`
	AffectedApps   []core.PathID   `json:"affectedApps"`
	AffectedPods   []core.PathID   `json:"affectedPods"`
	Steps          []core.WireStep `json:"steps"`
	CurrentActions []struct {
		Action    string           `json:"action"`
		App       core.PathID      `json:"app,omitempty"`
		Pod       core.PathID      `json:"pod,omitempty"`
		Readiness []readinessShape `json:"readinessCheckResults"`
	} `json:"currentActions"`
	CurrentStep int    `json:"currentStep"`
	TotalSteps  int    `json:"totalSteps"`
	Paused      bool   `json:"paused,omitempty"`
	Stall       object `json:"stall,omitempty"`
}

type resultShape struct {
	Version      core.Timestamp `json:"version"`
	DeploymentID string         `json:"deploymentId"`
}

type infoShape struct {
	Name        string  `json:"name"`
	Version     string  `json:"version"`
	BuildRef    string  `json:"buildref"`
	Elected     bool    `json:"elected"`
	Leader      *string `json:"leader"`
	FrameworkID *string `json:"frameworkId"`
	Marathon    object  `json:"marathon_config"`
	ZooKeeper   object  `json:"zookeeper_config"`
	HTTP        object  `json:"http_config"`
}

type errorShape struct {
	Message     string    `json:"message"`
	Details     any       `json:"details,omitempty"`
	Deployments []idShape `json:"deployments,omitempty"`
}

// answerOf is the body of a successful answer of each route; routes that are missing have none or a free form.
var answerOf = map[string]object{
	"GET /v2/apps":                            wrap("apps", listOf(ref("AppInfo"))),
	"POST /v2/apps":                           oneOf(ref("AppInfo"), ref("DryRun")),
	"PUT /v2/apps":                            oneOf(ref("DeploymentResult"), ref("DryRun")),
	"PATCH /v2/apps":                          oneOf(ref("DeploymentResult"), ref("DryRun")),
	"GET /v2/apps/*":                          wrap("*", listOf(ref("AppInfo"))),
	"GET /v2/apps/{id+}/*":                    wrap("*", listOf(ref("AppInfo"))),
	"GET /v2/apps/*/tasks":                    wrap("tasks", listOf(ref("Task"))),
	"GET /v2/apps/{id+}/*/tasks":              wrap("tasks", listOf(ref("Task"))),
	"GET /v2/apps/{id+}":                      wrap("app", ref("AppInfo")),
	"PUT /v2/apps/{id+}":                      oneOf(ref("DeploymentResult"), ref("DryRun")),
	"PATCH /v2/apps/{id+}":                    oneOf(ref("DeploymentResult"), ref("DryRun")),
	"DELETE /v2/apps/{id+}":                   oneOf(ref("DeploymentResult"), ref("DryRun")),
	"POST /v2/apps/{id+}/restart":             oneOf(ref("DeploymentResult"), ref("DryRun")),
	"GET /v2/apps/{id+}/versions":             wrap("versions", listOf(stampSchema)),
	"GET /v2/apps/{id+}/versions/{version}":   ref("AppInfo"),
	"GET /v2/apps/{id+}/tasks":                wrap("tasks", listOf(ref("Task"))),
	"DELETE /v2/apps/{id+}/tasks":             oneOf(wrap("tasks", listOf(ref("Task"))), ref("DeploymentResult")),
	"DELETE /v2/apps/{id+}/tasks/{task}":      oneOf(wrap("task", ref("Task")), ref("DeploymentResult")),
	"GET /v2/groups":                          ref("Group"),
	"GET /v2/groups/{id+}":                    ref("Group"),
	"GET /v2/groups/versions/{version}":       ref("Group"),
	"GET /v2/groups/{id+}/versions/{version}": ref("Group"),
	"GET /v2/groups/versions":                 listOf(stampSchema),
	"GET /v2/groups/{id+}/versions":           listOf(stampSchema),
	"GET /v2/groups/apps":                     listOf(ref("AppInfo")),
	"GET /v2/groups/{id+}/apps":               listOf(ref("AppInfo")),
	"POST /v2/groups":                         oneOf(ref("DeploymentResult"), ref("DryRun")),
	"POST /v2/groups/{id+}":                   oneOf(ref("DeploymentResult"), ref("DryRun")),
	"PUT /v2/groups":                          oneOf(ref("DeploymentResult"), ref("DryRun")),
	"PUT /v2/groups/{id+}":                    oneOf(ref("DeploymentResult"), ref("DryRun")),
	"DELETE /v2/groups":                       oneOf(ref("DeploymentResult"), ref("DryRun")),
	"DELETE /v2/groups/{id+}":                 oneOf(ref("DeploymentResult"), ref("DryRun")),
	"GET /v2/pods":                            listOf(ref("Pod")),
	"POST /v2/pods":                           oneOf(ref("Pod"), ref("DryRun")),
	"GET /v2/pods/{id+}":                      ref("Pod"),
	"PUT /v2/pods/{id+}":                      oneOf(ref("Pod"), ref("DryRun")),
	"GET /v2/pods/::status":                   listOf(ref("PodStatus")),
	"GET /v2/pods/{id+}::status":              ref("PodStatus"),
	"GET /v2/pods/{id+}::versions":            listOf(stampSchema),
	"GET /v2/pods/{id+}::versions/{version}":  ref("Pod"),
	"GET /v2/deployments":                     listOf(ref("Deployment")),
	"DELETE /v2/deployments/{id}":             ref("DeploymentResult"),
	"DELETE /v2/pods/{id+}":                   ref("DryRun"),
	"PATCH /v2/groups/{id+}":                  ref("DryRun"),
	"POST /v2/deployments/{id}/pause":         oneOf(ref("Deployment"), ref("DeploymentID")),
	"POST /v2/deployments/{id}/resume":        oneOf(ref("Deployment"), ref("DeploymentID")),
	"POST /v2/deployments/{id}/promote":       oneOf(ref("Deployment"), ref("DeploymentID")),
	"GET /v2/apps/{id+}/explain":              oneOf(ref("Explanation"), wrap("app", ref("AppInfo"))),
	"GET /v2/tasks":                           wrap("tasks", listOf(ref("Task"))),
	"POST /v2/tasks/delete":                   oneOf(wrap("tasks", listOf(ref("Task"))), ref("DeploymentResult")),
	"GET /v2/queue":                           wrap("queue", listOf(ref("QueueItem"))),
	"GET /v2/info":                            ref("Info"),
	"GET /v2/leader":                          wrap("leader", object{"type": "string"}),
	"GET /v2/plugins":                         wrap("plugins", listOf(object{"type": "object"})),
}

// bodyOf is the body of the requests that take one. Requests may leave out what has a default and may carry fields that
// are not known; Marathon's deprecated forms are accepted too.
var bodyOf = map[string]object{
	"POST /v2/apps":                    ref("AppRequest"),
	"PUT /v2/apps":                     listOf(ref("AppRequest")),
	"PATCH /v2/apps":                   listOf(ref("AppRequest")),
	"PUT /v2/apps/{id+}":               ref("AppRequest"),
	"PATCH /v2/apps/{id+}":             ref("AppRequest"),
	"POST /v2/groups":                  ref("GroupRequest"),
	"POST /v2/groups/{id+}":            ref("GroupRequest"),
	"PUT /v2/groups":                   ref("GroupRequest"),
	"PUT /v2/groups/{id+}":             ref("GroupRequest"),
	"PATCH /v2/groups/{id+}":           object{"type": "object", "properties": object{"enforceRole": object{"type": "boolean"}}},
	"POST /v2/pods":                    ref("PodRequest"),
	"PUT /v2/pods/{id+}":               ref("PodRequest"),
	"POST /v2/tasks/delete":            object{"type": "object", "required": []string{"ids"}, "properties": object{"ids": listOf(object{"type": "string"})}},
	"POST /logging":                    object{"type": "object", "properties": object{"logger": object{"type": "string"}, "level": object{"type": "string"}, "durationSeconds": object{"type": "integer"}}},
	"DELETE /v2/pods/{id+}::instances": listOf(object{"type": "string"}),
}

// successOf are the status codes of success that are not 200 alone (http-api.md 2).
var successOf = map[string][]int{
	"POST /v2/apps": {200, 201}, "PUT /v2/apps/{id+}": {200, 201}, "POST /v2/groups": {200, 201}, "POST /v2/groups/{id+}": {200, 201}, "PUT /v2/groups/{id+}": {200, 201},
	"POST /v2/pods": {200, 201}, "DELETE /v2/pods/{id+}": {200, 202}, "DELETE /v2/deployments/{id}": {200, 202}, "DELETE /v2/queue/{id+}/delay": {204},
	"GET /": {302}, "GET /ui": {200, 302}, "GET /help": {302}, "GET /ping": {200, 204},
}

func ref(name string) object   { return object{"$ref": "#/components/schemas/" + name} }
func listOf(of object) object  { return object{"type": "array", "items": of} }
func oneOf(s ...object) object { return object{"oneOf": s} }

func wrap(key string, of object) object {
	return object{"type": "object", "required": []string{key}, "properties": object{key: of}, "additionalProperties": false}
}

// document is the OpenAPI 3.1 document of every route of the table, made once.
var document func() ([]byte, error)

func init() { document = sync.OnceValues(describe) } // not above: the table names the handler that serves it

func describe() ([]byte, error) {
	paths := object{}
	for _, r := range Routes() {
		path, params := openPath(r)
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = operation(r, params)
	}
	return encodePlain(object{
		"openapi": "3.1.0",
		"info": object{"title": "Stadion", "version": "1.11", "description": "Marathon's API as Stadion serves it. Ids of apps, groups and pods are greedy: " +
			"they may hold slashes, also doubled or as %2F. Labels that steer (extensions, off by default): STADION_PLACEMENT (first, spread, binpack, random), " +
			"STADION_CANARY, STADION_DEPLOYMENT_DEADLINE_SECONDS, STADION_ROLLBACK_ON_FAILURES."},
		"paths":      paths,
		"components": object{"schemas": schemas()},
	})
}

// openPath turns a pattern into a path template and its parameters.
func openPath(r Route) (string, []object) {
	var params []object
	path := variable.ReplaceAllStringFunc(r.Pattern, func(v string) string {
		name := strings.Trim(v, "{}+")
		params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}, "x-greedy": strings.HasSuffix(v, "+}")})
		return "{" + name + "}"
	})
	for _, q := range r.Query {
		schema := object{"type": "string"}
		if q == "embed" || q == "event_type" || q == "status[]" {
			schema = listOf(object{"type": "string"})
		}
		params = append(params, object{"name": q, "in": "query", "required": false, "schema": schema})
	}
	return path, params
}

func operation(r Route, params []object) object {
	key := r.Method + " " + r.Pattern
	op := object{"summary": r.Summary, "x-section": r.Section}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if body, ok := bodyOf[key]; ok {
		op["requestBody"] = object{"required": true, "content": object{typeJSON: object{"schema": body}}}
	}
	codes := successOf[key]
	if codes == nil {
		codes = []int{http.StatusOK}
	}
	responses := object{"default": object{"description": "refused", "content": object{typeJSON: object{"schema": ref("Error")}}}}
	for _, c := range codes {
		res := object{"description": http.StatusText(c)}
		if schema, ok := answerOf[key]; ok && c != http.StatusAccepted && c != http.StatusNoContent {
			res["content"] = object{typeJSON: object{"schema": schema}}
		}
		responses[itoa(c)] = res
	}
	op["responses"] = responses
	return op
}

// openAPI is GET /v2/openapi.json (an extension).
func (s *Server) openAPI(r *request) error {
	b, err := document()
	if err != nil {
		return err
	}
	return r.Blob(http.StatusOK, typeJSON, b)
}
