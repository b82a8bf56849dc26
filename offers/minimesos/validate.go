package minimesos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// The texts in this file are what frameworks are told and were recorded (06, 21);
// an empty text means that nothing is wrong.

// check validates one task of a LAUNCH and converts its resources and those of
// its executor, if that has to be started.
func (x *acceptance) check(info *mesos.TaskInfo) (uses, execUses bag, text string) {
	if text := x.checkTask(info); text != "" {
		return nil, nil, text
	}
	if (info.Command == nil) == (info.Executor == nil) {
		return nil, nil, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
	}
	if info.Executor != nil {
		if text := x.checkExecutor(info.Executor); text != "" {
			return nil, nil, text
		}
		if text := ownExecutor(info.Executor); text != "" {
			return nil, nil, text
		}
	}
	if text := together("Task and its executor", info.Executor.GetResources(), info.Resources); text != "" {
		return nil, nil, text
	}
	if l := info.Container.GetLinuxInfo(); l != nil && l.ShareCgroups != nil && !*l.ShareCgroups {
		return nil, nil, "Only tasks in a task group may have 'share_cgroups' set to 'false'"
	}
	uses, ok := x.bagAllocated(info.Resources)
	all, needed := uses, info.Resources
	if info.Executor != nil && x.agent.executors[taskKey{x.fw.id, info.Executor.ExecutorID.Value}] == nil {
		var executorOK bool
		execUses, executorOK = x.bagAllocated(info.Executor.Resources)
		ok = ok && executorOK
		all = uses.plus(execUses)
		needed = slices.Concat(info.Resources, info.Executor.Resources)
	}
	if !ok || !x.left.contains(all) {
		return nil, nil, x.exceeds(needed, "task and its executor")
	}
	return uses, execUses, ""
}

// checkTask validates what tasks of LAUNCH and LAUNCH_GROUP have in common.
func (x *acceptance) checkTask(info *mesos.TaskInfo) string {
	if text := validateID(info.TaskID.Value); text != "" {
		return text
	}
	if x.fw.tasks[info.TaskID.Value] != nil {
		return "Task has duplicate ID: " + info.TaskID.Value
	}
	if x.fw.unreachable[info.TaskID.Value] != nil {
		return "Task reuses the ID of an unreachable task: " + info.TaskID.Value
	}
	if info.AgentID.Value != x.agent.id {
		return "Task uses invalid agent " + info.AgentID.Value + " while agent " + x.agent.id + " is expected"
	}
	if g := info.KillPolicy.GetGracePeriod(); g != nil && g.Nanoseconds < 0 {
		return "Task's 'kill_policy.grace_period' must be non-negative"
	}
	if d := info.MaxCompletionTime; d != nil && d.Nanoseconds < 0 {
		return "Task's `max_completion_time` must be non-negative"
	}
	if info.Check != nil {
		if text := validateCheck(info.Check); text != "" {
			return "Task uses invalid check: " + text
		}
	}
	if info.HealthCheck != nil {
		if text := validateHealthCheck(info.HealthCheck); text != "" {
			return "Task uses invalid health check: " + text
		}
	}
	if len(info.Resources) == 0 {
		return "Task uses no resources"
	}
	if text := judge("Task", info.Resources); text != "" {
		return text
	}
	if info.Command != nil {
		if text := validateCommand(info.Command); text != "" {
			return "Task's `CommandInfo` is invalid: " + text
		}
	}
	if info.Container != nil {
		if text := validateContainer(info.Container); text != "" {
			return "Task's `ContainerInfo` is invalid: " + text
		}
	}
	return checkLimits(info)
}

// validateID checks what all ids have to keep to because they become file names.
func validateID(id string) string {
	switch {
	case id == "":
		return "ID must not be empty"
	case len(id) > 255:
		return "ID must not be greater than 255 characters"
	case id == "." || id == "..":
		return "'" + id + "' is disallowed"
	}
	for i := range len(id) {
		if c := id[i]; c < 0x20 || c == 0x7f || c == '/' || c == '\\' {
			return "'" + id + "' contains invalid characters"
		}
	}
	return ""
}

// checkExecutor validates the executor of a task that brings its own.
func (x *acceptance) checkExecutor(ex *mesos.ExecutorInfo) string {
	if text := validateID(ex.ExecutorID.Value); text != "" {
		return text
	}
	switch ex.Type {
	case mesos.ExecutorInfo_DEFAULT:
		if ex.Command != nil {
			return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
		}
		if ex.Container != nil && ex.Container.GetType() != mesos.ContainerInfo_MESOS {
			return "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
		}
		if ex.Container.GetMesos().GetImage() != nil {
			return "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
		}
	case mesos.ExecutorInfo_CUSTOM:
		if ex.Command == nil {
			return "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
		}
	default:
		if ex.Command == nil {
			return "'ExecutorInfo.command' must be set"
		}
	}
	if ex.Command != nil {
		if text := validateCommand(ex.Command); text != "" {
			return "Executor's `CommandInfo` is invalid: " + text
		}
	}
	if ex.Container != nil {
		if text := validateContainer(ex.Container); text != "" {
			return "Executor's `ContainerInfo` is invalid: " + text
		}
	}
	if ex.FrameworkID == nil {
		return "'ExecutorInfo.framework_id' must be set"
	}
	if ex.FrameworkID.Value != x.fw.id {
		return fmt.Sprintf("ExecutorInfo has an invalid FrameworkID (Actual: %s vs Expected: %s)", ex.FrameworkID.Value, x.fw.id)
	}
	if g := ex.GetShutdownGracePeriod(); g != nil && g.Nanoseconds < 0 {
		return "ExecutorInfo's 'shutdown_grace_period' must be non-negative"
	}
	if text := judge("Executor", ex.Resources); text != "" {
		return text
	}
	if old := x.agent.executors[taskKey{x.fw.id, ex.ExecutorID.Value}]; old != nil && !old.info.Equal(ex) {
		return "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID."
	}
	return ""
}

// ownExecutor refuses what an executor of a task may not have, unlike that of a group.
func ownExecutor(ex *mesos.ExecutorInfo) string {
	switch {
	case ex.Type == mesos.ExecutorInfo_DEFAULT:
		return "'ExecutorInfo.type' must be 'CUSTOM'"
	case ex.Command == nil:
		return "'ExecutorInfo.command' must be set"
	case slices.ContainsFunc(ex.Resources, func(r mesos.Resource) bool { return r.Shared != nil }):
		return "Executor resources should not contain any shared resources"
	}
	return executorCgroups(ex)
}

func executorCgroups(ex *mesos.ExecutorInfo) string {
	if l := ex.Container.GetLinuxInfo(); l != nil && l.ShareCgroups != nil && *l.ShareCgroups {
		return "The 'share_cgroups' field cannot be set to 'true' on executor containers"
	}
	return ""
}

// minimumExecutor checks that an executor that has to be started has room of its own.
func (x *acceptance) minimumExecutor(ex *mesos.ExecutorInfo) string {
	b := x.m.c.ids.bagOf(ex.Resources)
	less := func(what, unit string, has int64, minimum string) string {
		amount := "None"
		if has > 0 {
			amount = strconv.FormatFloat(float64(has)/1000, 'f', -1, 64) + unit
		}
		return fmt.Sprintf("Executor '%s' uses less %s (%s) than the minimum required (%s)", ex.ExecutorID.Value, what, amount, minimum)
	}
	if cpus := b.scalar("cpus"); cpus < minCpusMilli {
		return less("CPUs", "", cpus, "0.01")
	}
	if mem := b.scalar("mem"); mem < minMemMilli {
		return less("memory", "MB", mem, "32MB")
	}
	if b.scalar("disk") == 0 {
		return fmt.Sprintf("Executor '%s' uses no disk", ex.ExecutorID.Value)
	}
	return ""
}

// checkGroup validates a LAUNCH_GROUP as a whole.
func (x *acceptance) checkGroup(ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo) (uses []bag, execUses bag, text string) {
	seen := map[string]bool{}
	for i := range tasks {
		t := &tasks[i]
		text := x.checkTask(t)
		if text == "" {
			text = groupTask(t)
		}
		if text == "" && seen[t.TaskID.Value] {
			text = "Task has duplicate ID: " + t.TaskID.Value
		}
		seen[t.TaskID.Value] = true
		if text != "" {
			return nil, nil, "Task '" + t.TaskID.Value + "' is invalid: " + text
		}
		if t.Executor != nil && !t.Executor.Equal(ex) {
			return nil, nil, "The `ExecutorInfo` of task '" + t.TaskID.Value + "' is different from executor '" + ex.ExecutorID.Value + "'"
		}
	}
	if text := x.checkExecutor(ex); text != "" {
		return nil, nil, text
	}
	if text := groupTogether(ex, tasks); text != "" {
		return nil, nil, text
	}
	var needed []mesos.Resource
	var all bag
	ok := true
	if x.agent.executors[taskKey{x.fw.id, ex.ExecutorID.Value}] == nil {
		if text := x.minimumExecutor(ex); text != "" {
			return nil, nil, text
		}
		execUses, ok = x.bagAllocated(ex.Resources)
		all, needed = all.plus(execUses), ex.Resources
	}
	for i := range tasks {
		b, allocated := x.bagAllocated(tasks[i].Resources)
		ok = ok && allocated
		uses, all = append(uses, b), all.plus(b)
		needed = slices.Concat(needed, tasks[i].Resources)
	}
	if !ok || !x.left.contains(all) {
		text := x.exceeds(needed, "task group and its executor")
		return nil, nil, strings.Replace(text, "executor is more than", "executor are more than", 1)
	}
	if text := groupCgroups(ex, tasks); text != "" {
		return nil, nil, text
	}
	return uses, execUses, ""
}

// groupTask refuses what the default executor cannot do for a task of a group.
func groupTask(t *mesos.TaskInfo) string {
	if t.Container.GetDocker() != nil || t.Container.GetType() == mesos.ContainerInfo_DOCKER && t.Container != nil {
		return "Docker ContainerInfo is not supported on the task"
	}
	if h := t.HealthCheck; h != nil && len(t.Container.GetNetworkInfos()) > 0 && (h.Type == mesos.HealthCheck_HTTP || h.Type == mesos.HealthCheck_TCP) {
		return "HTTP and TCP health checks are not supported for nested containers not joining parent's network"
	}
	if len(t.Limits) > 0 && sharesCgroups(t.Container) {
		return "Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to 'false'."
	}
	return ""
}

// sharesCgroups tells whether a nested container has no cgroups of its own.
func sharesCgroups(c *mesos.ContainerInfo) bool {
	l := c.GetLinuxInfo()
	return l == nil || l.ShareCgroups == nil || *l.ShareCgroups
}

// groupCgroups checks that the tasks of a group agree about cgroups.
func groupCgroups(ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo) string {
	if text := executorCgroups(ex); text != "" {
		return text
	}
	for i := range tasks {
		if sharesCgroups(tasks[i].Container) != sharesCgroups(tasks[0].Container) {
			return "If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single executor"
		}
	}
	return ""
}

// validateFramework checks a FrameworkInfo and the parts of SUBSCRIBE and
// UPDATE_FRAMEWORK that refer to its roles.
func validateFramework(info *mesos.FrameworkInfo, suppressed []string, wide *wideCall) string {
	if text := validateFrameworkInfo(info); text != "" {
		return text
	}
	return validateRoleLists(info, suppressed, wide)
}

func validateFrameworkInfo(info *mesos.FrameworkInfo) string {
	multi := capable(info, mesos.FrameworkInfo_Capability_MULTI_ROLE)
	switch {
	case multi && info.Role != nil:
		return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
	case !multi && len(info.Roles) > 0:
		return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
	}
	if dup := duplicates(info.Roles); len(dup) > 0 {
		return "'FrameworkInfo.roles' contains duplicate items: { " + strings.Join(dup, ", ") + " }"
	}
	for _, role := range info.Roles {
		if text := validateRole(role); text != "" {
			return "'FrameworkInfo.roles' contains invalid role: " + text
		}
	}
	if info.Role != nil {
		if text := validateRole(*info.Role); text != "" {
			return "'FrameworkInfo.role' is not a valid role: " + text
		}
	}
	if f := info.GetFailoverTimeout(); f > maxFailoverSeconds {
		return "The framework failover_timeout (" + strconv.FormatFloat(f, 'g', -1, 64) + ") is invalid"
	}
	return ""
}

// maxFailoverSeconds is what a 64 bit count of nanoseconds can hold.
const maxFailoverSeconds = float64(1<<63-1) / 1e9

func validateRoleLists(info *mesos.FrameworkInfo, suppressed []string, wide *wideCall) string {
	roles := rolesOf(info)
	var foreign []string
	for _, role := range suppressed {
		if !slices.Contains(roles, role) {
			foreign = append(foreign, role)
		}
	}
	if len(foreign) > 0 {
		return "Suppressed roles { " + strings.Join(foreign, ", ") + " } are not contained in the set of roles"
	}
	return wide.checkConstraints(roles)
}

func duplicates(list []string) []string {
	var dup []string
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s] && !slices.Contains(dup, s) {
			dup = append(dup, s)
		}
		seen[s] = true
	}
	return dup
}

// validateRole checks a role name, which may be a path of components.
func validateRole(role string) string {
	switch {
	case role == "*":
		return ""
	case role == "":
		return "Role names cannot be the empty string"
	case strings.HasPrefix(role, "/"):
		return "Role '" + role + "' cannot start with a slash"
	case strings.HasSuffix(role, "/"):
		return "Role '" + role + "' cannot end with a slash"
	}
	for _, part := range strings.Split(role, "/") {
		switch {
		case part == "":
			return "Role '" + role + "' cannot contain two adjacent slashes"
		case part == "." || part == "..":
			return "Role '" + role + "' cannot include '" + part + "' as a component"
		case part == "*":
			return "Role '" + role + "' cannot include '*' as a component"
		case strings.HasPrefix(part, "-"):
			return "Role component '" + part + "' is invalid because it starts with a dash"
		case strings.ContainsFunc(part, func(r rune) bool { return unicode.IsSpace(r) || r == '\b' }):
			return "Role component '" + part + "' is invalid because it contains backspace or whitespace"
		}
	}
	return ""
}
