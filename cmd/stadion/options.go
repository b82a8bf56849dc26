package main

import (
	"crypto/tls"
	"os"
	"os/user"
	"path"
	"regexp"
	"strings"
	"time"

	"stadion/core/machine"
	"stadion/core/store"
	"stadion/leader"
	"stadion/marathonapi/access"
	"stadion/offers"
	"stadion/offers/mesos"
)

// features are the words of --enable_features.
var features = map[string]bool{"vips": true, "task_killing": true, "external_volumes": true, "secrets": true, "gpu_resources": true}

// serverRows are the flags of stadion server.
func serverRows() []flagRow { return flagTable }

// options are the flags of a server as its parts need them.
type options struct {
	flags     *flagSet
	identity  string // host:port, as others reach this server
	scheme    string // http or https, as others reach this server
	etcd      leader.Etcd
	prefix    string
	ttl       time.Duration
	alone     bool // the etcd is this process's own
	machine   machine.Config
	mesos     mesos.Config
	features  map[string]bool
	users     *access.Users
	rights    *access.Rules
	mask      *regexp.Regexp // keys whose values stay out of the audit log
	leaderTLS *tls.Config
	stop      time.Duration // longest orderly end
	death     *death        // nil but in tests
}

// readOptions turns flags into options. Every mistake names its flag and asks for exit code 112.
func readOptions(f *flagSet) (*options, error) {
	o := &options{flags: f, features: map[string]bool{}, stop: time.Duration(f.int64("graceful_shutdown_timeout")) * time.Millisecond}
	for _, w := range f.list("enable_features") {
		if !features[w] {
			return nil, exitWith(exitFlag, "invalid value %q of --enable_features: known are vips, task_killing, external_volumes, secrets, gpu_resources", w)
		}
		o.features[w] = true
	}
	for _, check := range []func(*flagSet) error{o.readHTTP, o.readStore, o.readMesos, o.readMachine} {
		if err := check(f); err != nil {
			return nil, err
		}
	}
	var err error
	o.death, err = newDeath(os.Getenv(dieVariable))
	return o, err
}

func (o *options) readHTTP(f *flagSet) error {
	for _, name := range []string{"http_port", "https_port"} {
		if f.int(name) > 65535 {
			return exitWith(exitFlag, "invalid value %q of --%s: expected a port", f.text(name), name)
		}
	}
	for _, name := range []string{"http_max_header_bytes", "http_max_body_bytes", "http_body_timeout", "http_write_timeout"} {
		if f.int(name) == 0 {
			return exitWith(exitFlag, "invalid value 0 of --%s: expected a positive number", name)
		}
	}
	var err error
	if o.users, err = access.ReadUsers(f.text("http_credentials"), f.text("http_credentials_file")); err != nil {
		return exitWith(exitFlag, "%w", err)
	}
	if o.rights, err = access.ReadRules(f.text("http_permissions_file")); err != nil {
		return exitWith(exitFlag, "--http_permissions_file: %w", err)
	}
	if o.mask, err = regexp.Compile(f.text("audit_mask")); err != nil {
		return exitWith(exitFlag, "invalid value of --audit_mask: %w", err)
	}
	if o.rights != nil && o.users == nil {
		return exitWith(exitFlag, "--http_permissions_file needs users: give --http_credentials_file or --http_credentials")
	}
	cert, key := certFiles(f)
	if cert == "" && f.text("ssl_client_ca_file") != "" {
		return exitWith(exitFlag, "--ssl_client_ca_file needs --ssl_cert_file: without TLS no client shows a certificate")
	}
	if cert != "" {
		if err = refuseKeystore(cert); err != nil {
			return err
		}
	}
	if o.leaderTLS, err = leaderTLS(cert, key, f.text("ssl_ca_file"), f.on("leader_proxy_ssl_ignore_hostname")); err != nil {
		return err
	}
	return oneOf(f, "new_group_enforce_role", "off", "top")
}

func (o *options) readStore(f *flagSet) error {
	o.prefix = f.text("etcd_prefix")
	if zk := f.text("zk"); zk != "" && !f.given("etcd_prefix") {
		if _, rest, ok := strings.Cut(strings.TrimPrefix(zk, "zk://"), "/"); ok && rest != "" {
			o.prefix = path.Clean("/" + rest)
		}
	}
	if !strings.HasPrefix(o.prefix, "/") {
		return exitWith(exitFlag, "invalid value %q of --etcd_prefix: expected an absolute path", o.prefix)
	}
	password, err := secretFile(f, "etcd_password_file")
	if err != nil {
		return err
	}
	if (f.text("etcd_username") == "") != (password == "") {
		return exitWith(exitFlag, "--etcd_username and --etcd_password_file need each other: with one alone etcd is asked without a user")
	}
	files := leader.TLSFiles{CA: f.text("etcd_ca_file"), Cert: f.text("etcd_cert_file"), Key: f.text("etcd_key_file")}
	tls, err := files.Config()
	if err != nil {
		return exitWith(exitFlag, "TLS to etcd: %w", err)
	}
	o.etcd = leader.Etcd{Endpoints: f.list("etcd_endpoints"), TLS: tls, Username: f.text("etcd_username"), Password: password,
		Timeout: time.Duration(f.int64("zk_connection_timeout")) * time.Millisecond}
	o.ttl = time.Duration(f.int("etcd_lease_ttl")) * time.Second
	return nil
}

func (o *options) readMesos(f *flagSet) error {
	secret := f.text("mesos_authentication_secret")
	if file, err := secretFile(f, "mesos_authentication_secret_file"); err != nil {
		return err
	} else if file != "" {
		secret = file
	}
	host := f.text("hostname")
	if host == "" {
		name, err := os.Hostname()
		if err != nil {
			return exitWith(exitFlag, "the name of this host is unknown, set --hostname: %w", err)
		}
		host = name
	}
	o.identity = host
	caps := []string{"PARTITION_AWARE", "REGION_AWARE", "MULTI_ROLE"}
	if o.features["task_killing"] {
		caps = append(caps, "TASK_KILLING_STATE")
	}
	if o.features["gpu_resources"] {
		caps = append(caps, "GPU_RESOURCES")
	}
	name := f.text("mesos_user")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	o.mesos = mesos.Config{Master: f.text("master"), Secret: secret, Recover: f.on("recover_framework"), HeartbeatFailures: f.int("mesos_heartbeat_failure_threshold"),
		Framework: mesos.FrameworkInfo{Name: f.text("framework_name"), User: name, Hostname: host, WebUIURL: f.text("webui_url"),
			Principal: f.text("mesos_authentication_principal"), FailoverTimeout: float64(f.int("failover_timeout")),
			Checkpoint: f.on("checkpoint"), Capabilities: caps}}
	if !f.on("mesos_authentication") {
		o.mesos.Secret = ""
	}
	return nil
}

func (o *options) readMachine(f *flagSet) error {
	for name, words := range map[string][]string{"accepted_resource_roles_default_behavior": {"any", "unreserved", "reserved"},
		"gpu_scheduling_behavior": {"restricted", "unrestricted"}, "placement_strategy": offers.Strategies} {
		if err := oneOf(f, name, words...); err != nil {
			return err
		}
	}
	if lo, hi := f.int("local_port_min"), f.int("local_port_max"); lo > hi || hi > 65535 {
		return exitWith(exitFlag, "invalid range of service ports: --local_port_min %d, --local_port_max %d", lo, hi)
	}
	c := machine.DefaultConfig()
	c.Offers = offers.Config{Principal: f.text("mesos_authentication_principal"), DefaultExecutor: f.text("executor"), EnvPrefix: f.text("env_vars_prefix"),
		BridgeName: f.text("mesos_bridge_name"), AcceptedRolesDefault: f.text("accepted_resource_roles_default_behavior"),
		GPUBehavior: f.text("gpu_scheduling_behavior"), MaintenanceMode: f.on("maintenance_mode"), DrainingSeconds: f.int("draining_seconds"),
		MaxInstancesPerOffer: max(f.int("max_instances_per_offer"), 1), ReservationTimeoutMs: f.int64("task_reservation_timeout"),
		Placement: f.text("placement_strategy")}
	c.Plan.PortMin, c.Plan.PortMax = f.int("local_port_min"), f.int("local_port_max")
	c.Plan.NewGroupEnforceRole = f.text("new_group_enforce_role") == "top"
	c.MesosRole, c.Features = f.text("mesos_role"), o.features
	c.MaxRows = max(min(store.NestedOps(f.int("etcd_max_txn_ops")), maxBatchRows)-rowsReserve, 1)
	c.MaxRunningDeployments, c.MaxVersions, c.KillChunk = f.int("max_running_deployments"), f.int("zk_max_versions"), max(f.int("kill_chunk_size"), 1)
	c.LaunchTokens, c.LaunchTokenRefreshMs = f.int("launch_tokens"), f.int64("launch_token_refresh_interval")
	c.DeclineMs, c.OfferTimeoutMs, c.MinReviveMs, c.SuppressOffers = f.int64("decline_offer_duration"), f.int64("offer_matching_timeout"), f.int64("min_revive_offers_interval"), f.on("suppress_offers")
	c.KillRetryMs, c.LaunchConfirmMs, c.LaunchMs = f.int64("kill_retry_timeout"), f.int64("task_launch_confirm_timeout"), f.int64("task_launch_timeout")
	c.ReconcileIntervalMs, c.ScaleInitialMs, c.ScaleIntervalMs = f.int64("reconciliation_interval"), f.int64("scale_apps_initial_delay"), f.int64("scale_apps_interval")
	c.DoubtMs = f.int64("reconciliation_initial_delay")
	o.machine = c
	return nil
}

// maxBatchRows bounds a batch beside etcd's limits: larger ones gain little and make small changes wait.
const maxBatchRows = 1024

// rowsReserve are the operations of a transaction that are not rows of the batch: the sequence number and what one more
// event may add after the machine saw room.
const rowsReserve = 8

func oneOf(f *flagSet, name string, words ...string) error {
	v := f.text(name)
	for _, w := range words {
		if v == w {
			return nil
		}
	}
	return exitWith(exitFlag, "invalid value %q of --%s: expected one of %s", v, name, strings.Join(words, ", "))
}

// secretFile reads a file that holds a secret; empty when the flag is not set.
func secretFile(f *flagSet, name string) (string, error) {
	file := f.text(name)
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", exitWith(exitFlag, "--%s: %w", name, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
