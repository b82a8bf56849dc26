package agent

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	// defaultPath is the PATH of a task that sets none.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// executorShutdownGrace is what an executor is told, in the form of Mesos.
	executorShutdownGrace = "5secs"
	stdoutName            = "stdout"
	stderrName            = "stderr"
)

// errUnknownUser marks that the user of a task does not exist here.
var errUnknownUser = errors.New("no such user")

// errNoValue marks a command that says nothing to run.
var errNoValue = errors.New("the command has no value")

// account is the user that a task runs as; the zero value means the user of
// this process.
type account struct {
	change   bool
	uid, gid uint32
	groups   []uint32
}

// lookupAccount finds the user of a command, which defaults to that of the
// framework. Nothing changes if users are not switched, if it is the own user,
// or if this process is not root and so may not become anybody else.
func (a *Agent) lookupAccount(fw mesos.FrameworkInfo, cmd *mesos.CommandInfo) (account, string, error) {
	if !a.cfg.SwitchUser {
		return account{}, "", nil
	}
	name := fw.User
	if cmd != nil && cmd.User != nil {
		name = *cmd.User
	}
	if name == "" {
		return account{}, "", nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, name, fmt.Errorf("%w: %w", errUnknownUser, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, name, fmt.Errorf("user id of %s: %w", name, err)
	}
	if me := os.Geteuid(); me != 0 || int(uid) == me {
		return account{}, name, nil
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, name, fmt.Errorf("group id of %s: %w", name, err)
	}
	acc := account{change: true, uid: uint32(uid), gid: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, name, fmt.Errorf("groups of %s: %w", name, err)
	}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			acc.groups = append(acc.groups, uint32(g))
		}
	}
	return acc, name, nil
}

// chownTree gives a directory and all in it to the account, without following
// symbolic links.
func (acc account) chownTree(dir string) error {
	if !acc.change {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(acc.uid), int(acc.gid))
	})
}

// commandSpec builds the process of a CommandInfo that runs in dir with the
// environment of the task. The output goes to the files of the sandbox.
func commandSpec(cmd *mesos.CommandInfo, dir string, base []string, acc account) (processSpec, error) {
	env, err := withVariables(base, cmd.GetEnvironment())
	if err != nil {
		return processSpec{}, err
	}
	spec := processSpec{
		Env: env, Dir: dir,
		Stdout: filepath.Join(dir, stdoutName), Stderr: filepath.Join(dir, stderrName),
		Switch: acc.change, UID: acc.uid, GID: acc.gid, Groups: acc.groups,
	}
	switch {
	case cmd == nil || cmd.Value == nil:
		return refused(spec, cmd.GetShell()), errNoValue
	case cmd.GetShell():
		spec.Path, spec.Args = "/bin/sh", []string{"sh", "-c", *cmd.Value}
	default:
		spec.Path, spec.Args = lookPath(*cmd.Value, env), cmd.Arguments
		if len(spec.Args) == 0 {
			spec.Args = []string{*cmd.Value}
		}
	}
	return spec, nil
}

// refused is what the containerizer makes of a command without a value: a process that says so and fails. Only the tasks
// of groups come so far, the command executor dies before.
func refused(spec processSpec, shell bool) processSpec {
	what := "Executable path"
	if shell {
		what = "Shell command"
	}
	spec.Path, spec.Args = "/bin/sh", []string{"sh", "-c", "echo " + what + " is not specified >&2; exit 1"}
	return spec
}

// baseEnvironment is what a task finds beside the variables of its command. The task of a command and a custom executor
// have what the agent gives to an executor, a task of a group has little; to name the task is up to its framework.
func (t *task) baseEnvironment() []string {
	env := []string{"MESOS_SANDBOX=" + t.sandbox, "PATH=" + defaultPath}
	if t.custom == nil {
		env = append(env, "MESOS_ALLOCATION_ROLE="+t.role())
	}
	ip := t.agent.cfg.IP
	if t.group != nil {
		if ip != "" {
			env = append(env, "MESOS_CONTAINER_IP="+ip)
		}
		return env
	}
	env = append(env,
		"MESOS_DIRECTORY="+t.sandbox,
		"MESOS_EXECUTOR_ID="+t.executorID(),
		"MESOS_FRAMEWORK_ID="+t.fid,
		"MESOS_SLAVE_ID="+t.agentID,
		"MESOS_CHECKPOINT="+boolDigit(t.checkpoints()),
		"MESOS_HTTP_COMMAND_EXECUTOR=0",
		"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD="+executorShutdownGrace,
		"LIBPROCESS_PORT=0",
	)
	if t.checkpoints() {
		env = append(env, "MESOS_RECOVERY_TIMEOUT=15mins", "MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs")
	}
	if ip != "" {
		env = append(env, "LIBPROCESS_IP="+ip)
	}
	return env
}

// role is the role that the resources of the task were offered to.
func (t *task) role() string {
	for i := range t.info.Resources {
		if a := t.info.Resources[i].AllocationInfo; a != nil {
			return a.GetRole()
		}
	}
	return "*"
}

func boolDigit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// withVariables returns base with the variables of env, which win. Secrets
// must be given by value.
func withVariables(base []string, env *mesos.Environment) ([]string, error) {
	out := append([]string(nil), base...)
	at := make(map[string]int, len(out))
	for i, kv := range out {
		name, _, _ := strings.Cut(kv, "=")
		at[name] = i
	}
	for _, v := range env.GetVariables() {
		value := v.GetValue()
		if v.GetType() == mesos.Environment_Variable_SECRET {
			if v.Secret == nil || v.Secret.Value == nil {
				return nil, fmt.Errorf("the secret of environment variable %s is a reference, which cannot be resolved here", v.Name)
			}
			value = string(v.Secret.Value.Data)
		}
		if i, ok := at[v.Name]; ok {
			out[i] = v.Name + "=" + value
			continue
		}
		at[v.Name] = len(out)
		out = append(out, v.Name+"="+value)
	}
	return out, nil
}
