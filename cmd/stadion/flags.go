package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"stadion/marathonapi/access"
)

// kind is the type of a flag's value.
type kind int8

const (
	text kind = iota
	number
	toggle  // --name and --disable_name
	millis  // milliseconds
	decimal // a number with a fraction
)

// use says what becomes of a flag (behaviour.md Appendix A).
type use int8

const (
	kept    use = iota // has its meaning
	mapped             // has a meaning in Stadion that differs from Marathon's: a warning says which
	ignored            // accepted without effect: a warning says so
)

// flagRow is one row of the flag table.
type flagRow struct {
	name, def string
	kind      kind
	use       use
	group     string
	help      string // for mapped and ignored flags: what to do instead
}

// flagTable holds every flag of the server (http-api.md 12, behaviour.md Appendix A).
var flagTable = []flagRow{
	{"master", "", text, kept, "mesos", "Mesos masters: host:port[,host:port], http(s)://…, zk://…/mesos or file://PATH"},
	{"mesos_leader_ui_url", "", text, kept, "mesos", "URL of the Mesos UI, shown in /v2/info"},
	{"framework_name", "marathon", text, kept, "mesos", "name of the framework"},
	{"failover_timeout", "604800", number, kept, "mesos", "seconds the master keeps tasks without us"},
	{"recover_framework", "false", toggle, kept, "mesos", "when Mesos has removed the framework, register as a new one and launch everything anew, instead of stopping"},
	{"checkpoint", "true", toggle, kept, "mesos", "agents checkpoint tasks"},
	{"mesos_user", "", text, kept, "mesos", "user of tasks; default: the user of this process"},
	{"mesos_role", "*", text, kept, "mesos", "default role"},
	{"mesos_authentication", "false", toggle, kept, "mesos", "authenticate with principal and secret"},
	{"mesos_authentication_principal", "", text, kept, "mesos", "principal; needed for persistent volumes"},
	{"mesos_authentication_secret", "", text, mapped, "mesos", "visible to every user of the machine: prefer --mesos_authentication_secret_file"},
	{"mesos_authentication_secret_file", "", text, kept, "mesos", "file that holds the secret"},
	{"mesos_heartbeat_interval", "15000", millis, ignored, "mesos", "the master's own interval is used"},
	{"mesos_heartbeat_failure_threshold", "5", number, kept, "mesos", "missed heartbeats until the stream counts as lost"},
	{"mesos_bridge_name", "mesos-bridge", text, kept, "mesos", "CNI network of bridge mode for MESOS containers"},
	{"default_network_name", "", text, kept, "mesos", "name of unnamed container networks"},
	{"executor", "//cmd", text, kept, "mesos", "default executor"},
	{"env_vars_prefix", "", text, kept, "mesos", "prefix of the PORT… and HOST variables"},
	{"webui_url", "", text, kept, "mesos", "URL registered with Mesos; default: http://hostname:port"},

	{"etcd_endpoints", "", text, kept, "store", "etcd URLs, separated by commas"},
	{"etcd_prefix", "/marathon", text, kept, "store", "prefix of all keys"},
	{"etcd_username", "", text, kept, "store", "etcd user"},
	{"etcd_password_file", "", text, kept, "store", "file that holds the etcd password"},
	{"etcd_ca_file", "", text, kept, "store", "CA certificates of etcd (PEM)"},
	{"etcd_cert_file", "", text, kept, "store", "client certificate for etcd (PEM)"},
	{"etcd_key_file", "", text, kept, "store", "key of the client certificate (PEM)"},
	{"etcd_max_txn_ops", "128", number, kept, "store", "operations per transaction; etcd's --max-txn-ops"},
	{"etcd_lease_ttl", "10", number, kept, "store", "seconds until a dead leader is replaced"},
	{"etcd_compaction", "true", toggle, kept, "store", "compact the whole etcd every few minutes; turn it off where others share the etcd and it compacts itself"},
	{"etcd_early_takeover", "true", toggle, kept, "store", "replace a leader whose process is gone before its lease ends"},
	{"backup_location", "", text, kept, "store", "file:// URI: a backup is made there before stored data is migrated"},
	{"zk", "", text, mapped, "store", "state lives in etcd now: set --etcd_endpoints (and --etcd_prefix for the path)"},
	{"zk_timeout", "10000", millis, ignored, "store", "etcd requests have their own bound"},
	{"zk_session_timeout", "10000", millis, mapped, "store", "see --etcd_lease_ttl"},
	{"zk_connection_timeout", "10000", millis, kept, "store", "longest wait for etcd at the start"},
	{"zk_max_versions", "50", number, kept, "store", "versions kept per app, pod and of the tree"},
	{"zk_compression", "true", toggle, ignored, "store", "values are compressed when that helps"},
	{"zk_compression_threshold", "65536", number, ignored, "store", "see zk_compression"},
	{"zk_max_node_size", "1024000", number, ignored, "store", "one definition may have 512 KiB; the tree has no bound"},
	{"zk_operation_max_retries", "5", number, ignored, "store", "writes are repeated until their outcome is known"},
	{"zk_operation_base_retry_sleep_ms", "10", number, ignored, "store", "see zk_operation_max_retries"},
	{"zk_operation_retry_timeout_ms", "10000", number, ignored, "store", "see zk_operation_max_retries"},
	{"zk_max_concurrency", "32", number, ignored, "store", "one transaction is under way at a time"},
	{"storage_compaction_interval", "30", number, ignored, "store", "old versions are dropped by time and by number of writes"},
	{"storage_compaction_scan_batch_size", "32", number, ignored, "store", "see storage_compaction_interval"},
	{"group_versions_cache_size", "1000", number, ignored, "store", "the whole state is in memory"},
	{"store_cache", "true", toggle, ignored, "store", "the whole state is in memory"},
	{"internal_store_backend", "zk", text, ignored, "store", "the store is etcd"},
	{"leader_election_backend", "curator", text, ignored, "store", "the leader is elected by etcd"},
	{"ha", "true", toggle, ignored, "store", "there is always an election; alone it is won at once"},

	{"http_address", "", text, kept, "http", "address to listen on; default: all"},
	{"http_port", "8080", number, kept, "http", "port to listen on; 0: any"},
	{"http", "true", toggle, kept, "http", "listen without TLS"},
	{"https_address", "", text, kept, "http", "address to listen on with TLS; default: all"},
	{"https_port", "8443", number, kept, "http", "port to listen on with TLS, once a certificate is given; 0: any"},
	{"ssl_cert_file", "", text, kept, "http", "certificate of this server (PEM, with its chain); read again when it changes"},
	{"ssl_key_file", "", text, kept, "http", "key of the certificate (PEM); default: in the same file"},
	{"ssl_ca_file", "", text, kept, "http", "further authorities to trust when passing requests on to a leader with TLS (PEM)"},
	{"ssl_keystore_path", "", text, mapped, "http", "must be a PEM file with certificate and key; see --ssl_cert_file"},
	{"ssl_keystore_password", "", text, ignored, "http", "keys in PEM files have no password"},
	{"hostname", "", text, kept, "http", "how others reach this host; default: its name"},
	{"http_credentials", "", text, kept, "http", "user:password of basic authentication"},
	{"http_credentials_file", "", text, kept, "http", "users of basic authentication: lines user:hash with bcrypt hashes, as htpasswd -B makes them"},
	{"http_permissions_file", "", text, kept, "http", "who may do what: lines user right[,right] [/id]; see README.md; default: whoever may enter may do everything"},
	{"http_open_ping", "false", toggle, kept, "http", "answer /ping without a password"},
	{"audit_log_file", "", text, kept, "http", "append one line of JSON per change to this file instead of the log"},
	{"audit_mask", access.DefaultMask, text, kept, "http", "keys of environments and labels whose values stay out of the audit log (regular expression)"},
	{"ssl_client_ca_file", "", text, kept, "http", "clients on the TLS port must show a certificate of one of these authorities (PEM)"},
	{"http_realm", "Mesosphere", text, kept, "http", "realm of basic authentication"},
	{"http_compression", "true", toggle, kept, "http", "gzip answers"},
	{"http_max_concurrent_requests", "0", number, kept, "http", "503 beyond this number; 0: no bound"},
	{"http_max_connections", "20000", number, kept, "http", "open connections; further ones wait; 0: no bound"},
	{"http_max_header_bytes", "65536", number, kept, "http", "431 beyond"},
	{"http_max_body_bytes", "33554432", number, kept, "http", "413 beyond"},
	{"http_body_timeout", "10000", millis, kept, "http", "patience with slow bodies; those that arrive at 4 KiB a second have more"},
	{"http_write_timeout", "30000", millis, kept, "http", "patience with slow readers, per 64 KiB of an answer"},
	{"access_control_allow_origin", "", text, kept, "http", "origins of CORS, separated by commas"},
	{"event_stream_max_outstanding_messages", "1024", number, kept, "http", "events a slow reader may lag behind"},
	{"assets_path", "", text, ignored, "http", "there are no assets"},
	{"leader_proxy_connection_timeout", "5000", millis, kept, "http", "standby: longest wait for a connection to the leader"},
	{"leader_proxy_read_timeout", "10000", millis, kept, "http", "standby: longest wait for an answer of the leader"},
	{"leader_proxy_max_open_connections", "1024", number, kept, "http", "standby: connections to the leader"},
	{"leader_proxy_ssl_ignore_hostname", "false", toggle, kept, "http", "standby: do not compare the leader's host name with its certificate"},

	{"enable_features", "", text, kept, "apps", "vips, task_killing, external_volumes, secrets, gpu_resources, separated by commas"},
	{"deprecated_features", "", text, ignored, "apps", "none is left"},
	{"local_port_min", "10000", number, kept, "apps", "first service port"},
	{"local_port_max", "20000", number, kept, "apps", "last service port"},
	{"new_group_enforce_role", "off", text, kept, "apps", "enforceRole of new top-level groups: off or top"},
	{"accepted_resource_roles_default_behavior", "any", text, kept, "apps", "any, unreserved or reserved"},
	{"default_accepted_resource_roles", "", text, mapped, "apps", "use --accepted_resource_roles_default_behavior"},
	{"max_apps", "0", number, kept, "apps", "limit of apps and pods; 0: none"},
	{"max_running_deployments", "100", number, kept, "apps", "403 beyond"},
	{"gpu_scheduling_behavior", "restricted", text, kept, "apps", "restricted or unrestricted"},
	{"maintenance_mode", "true", toggle, kept, "apps", "decline offers of agents in maintenance"},
	{"draining_seconds", "0", number, kept, "apps", "decline so long before a maintenance window"},

	{"placement_strategy", "first", text, kept, "launching", "which of the agents that fit: first, spread, binpack or random; per app by label STADION_PLACEMENT"},
	{"launch_tokens", "0", number, kept, "launching", "launches per launch_token_refresh_interval; 0: no bound (Marathon: 100)"},
	{"launch_token_refresh_interval", "30000", millis, kept, "launching", "milliseconds until launch_tokens are filled up again"},
	{"max_instances_per_offer", "100", number, kept, "launching", "launches on one offer (Marathon: 5)"},
	{"offer_matching_timeout", "3000", millis, kept, "launching", "longest time an offer is held"},
	{"decline_offer_duration", "120000", millis, kept, "launching", "filter for offers nobody wants"},
	{"min_revive_offers_interval", "1000", millis, kept, "launching", "rest between two revivals (Marathon: 5000)"},
	{"suppress_offers", "true", toggle, kept, "launching", "ask for no offers while nothing waits"},
	{"task_launch_confirm_timeout", "300000", millis, kept, "launching", "kill launches without any status after this"},
	{"task_launch_timeout", "300000", millis, kept, "launching", "kill launches that do not run after this"},
	{"task_reservation_timeout", "20000", millis, kept, "launching", "give up unused reservations after this"},
	{"task_lost_expunge_initial_delay", "300000", millis, ignored, "launching", "each unreachable instance has its own timer"},
	{"task_lost_expunge_interval", "30000", millis, ignored, "launching", "each unreachable instance has its own timer"},
	{"reconciliation_initial_delay", "15000", millis, kept, "launching", "tasks are asked for at each registration; what ran and is unknown so early is asked for again"},
	{"reconciliation_interval", "600000", millis, kept, "launching", "rest between two full reconciliations"},
	{"scale_apps_initial_delay", "15000", millis, kept, "launching", "first look at all counts"},
	{"scale_apps_interval", "300000", millis, kept, "launching", "rest between two looks at all counts"},
	{"kill_chunk_size", "100", number, kept, "launching", "kills in flight at once"},
	{"kill_retry_timeout", "30000", millis, kept, "launching", "repeat unanswered kills after this"},
	{"max_concurrent_marathon_health_checks", "256", number, kept, "launching", "health probes at once"},
	{"max_parallel_offers", "1", number, ignored, "launching", "offers are matched by one writer"},
	{"max_queued_offers", "1024", number, ignored, "launching", "see offer_matching_timeout"},
	{"max_parallel_status_updates", "20", number, ignored, "launching", "updates are applied by one writer"},
	{"max_queued_status_updates", "10000", number, ignored, "launching", "the master holds what is not acknowledged"},
	{"task_operation_notification_timeout", "30000", millis, ignored, "launching", "an intent is stored before its launch"},
	{"mesos_offer_constraints", "false", toggle, ignored, "launching", "offers are filtered here"},
	{"min_mesos_offer_constraints_update_interval", "1000", millis, ignored, "launching", "see mesos_offer_constraints"},

	{"logging_level", "info", text, kept, "process", "debug, info, warn or error"},
	{"graceful_shutdown_timeout", "45000", millis, kept, "process", "longest wait for an orderly end"},
	{"on_elected_prepare_timeout", "180000", millis, kept, "process", "longest time from the election to readiness"},
	{"metrics_name_prefix", "marathon", text, kept, "process", "prefix of metric names"},
	{"metrics_prometheus", "true", toggle, kept, "process", "serve /metrics/prometheus"},
	{"metrics_statsd", "false", toggle, kept, "process", "send metrics to StatsD"},
	{"metrics_statsd_host", "localhost", text, kept, "process", "host of StatsD"},
	{"metrics_statsd_port", "8125", number, kept, "process", "port of StatsD"},
	{"metrics_statsd_transmission_interval_ms", "10000", millis, kept, "process", "milliseconds between two reports"},
	{"metrics_datadog", "false", toggle, kept, "process", "send metrics to DataDog"},
	{"metrics_datadog_protocol", "udp", text, kept, "process", "udp or api"},
	{"metrics_datadog_host", "localhost", text, kept, "process", "host of the DataDog agent"},
	{"metrics_datadog_port", "8125", number, kept, "process", "port of the DataDog agent"},
	{"metrics_datadog_api_key", "", text, kept, "process", "key of the DataDog API; prefer the environment form"},
	{"metrics_datadog_transmission_interval_ms", "10000", millis, kept, "process", "milliseconds between two reports"},
	{"metrics_histogram_reservoir_resetting_interval_ms", "5000", millis, kept, "process", "distributions of histograms and timers begin anew after this"},
	{"metrics_histogram_reservoir_reset_periodically", "true", toggle, kept, "process", "distributions begin anew periodically; off: they are of all times"},
	{"metrics_histogram_reservoir_highest_trackable_value", "3600000000000", number, ignored, "process", "distributions have no bound"},
	{"metrics_histogram_reservoir_significant_digits", "3", number, ignored, "process", "samples are exact"},
	{"metrics_histogram_reservoir_resetting_chunks", "0", number, ignored, "process", "distributions begin anew as a whole"},
	{"metrics", "true", toggle, ignored, "process", "metrics are always kept"},
	{"logstash", "", text, ignored, "process", "ship the log of the process"},
	{"sentry", "", text, ignored, "process", "ship the log of the process"},
	{"sentry_tags", "", text, ignored, "process", "ship the log of the process"},
	{"plugin_dir", "", text, ignored, "process", "there are no plugins"},
	{"plugin_conf", "", text, ignored, "process", "there are no plugins"},
	{"max_queued_root_group_updates", "500", number, ignored, "process", "the inbox has its own bound"},
	{"max_actor_startup_time", "10000", millis, ignored, "process", "there are no actors"},
	{"group_manager_request_timeout", "10000", millis, ignored, "process", "there are no actors"},
	{"launch_queue_request_timeout", "3000", millis, ignored, "process", "there are no actors"},
	{"deployment_manager_request_timeout", "1000", millis, ignored, "process", "there are no actors"},
	{"task_tracker_request_timeout", "10000", millis, ignored, "process", "there are no actors"},
	{"task_update_request_timeout", "10000", millis, ignored, "process", "there are no actors"},
	{"instance_tracker_num_parallel_updates", "16", number, ignored, "process", "there is one writer"},
	{"instance_tracker_num_parallel_loads", "16", number, ignored, "process", "rows are decoded in parallel"},
	{"instance_tracker_update_queue_size", "4096", number, ignored, "process", "there is one writer"},
	{"app_info_module_execution_context_size", "", text, ignored, "process", "there are no thread pools"},
	{"default_info_service_execution_context_size", "", text, ignored, "process", "there are no thread pools"},
	{"group_manager_execution_context_size", "", text, ignored, "process", "there are no thread pools"},
	{"scheduler_actions_execution_context_size", "", text, ignored, "process", "there are no thread pools"},
	{"storage_execution_context_size", "", text, ignored, "process", "there are no thread pools"},
	{"killsPerBatch", "100", number, ignored, "process", "see kill_chunk_size"},
	{"killBatchDuration", "10000", number, ignored, "process", "see kill_chunk_size"},
	{"internal_version_caching", "true", toggle, ignored, "process", "the whole state is in memory"},

	{"event_subscriber", "", text, ignored, "removed before Marathon 1.11", "callbacks are gone: read /v2/events"},
	{"http_endpoints", "", text, ignored, "removed before Marathon 1.11", "callbacks are gone: read /v2/events"},
	{"artifact_store", "", text, ignored, "removed before Marathon 1.11", "use the fetch field of apps"},
	{"max_tasks_per_offer", "", text, ignored, "removed before Marathon 1.11", "use --max_instances_per_offer"},
	{"revive_offers_for_new_apps", "true", toggle, ignored, "removed before Marathon 1.11", "offers are revived when something waits"},
	{"revive_offers_repetitions", "", text, ignored, "removed before Marathon 1.11", "offers are revived when something waits"},
	{"tracing", "false", toggle, ignored, "removed before Marathon 1.11", "see --logging_level debug"},
	{"enable_tracing", "false", toggle, ignored, "removed before Marathon 1.11", "see --logging_level debug"},
}

// flagSet is the parsed command line and environment of one sub-command.
type flagSet struct {
	fs   *pflag.FlagSet
	rows map[string]flagRow
	env  map[string]bool // given by the environment
	// wants names the one argument beside the flags, for sub-commands that have one; operand is its value.
	wants, operand string
}

// newFlagSet makes a set of the rows; toggles get a --disable_ twin.
func newFlagSet(command string, rows []flagRow) *flagSet {
	s := &flagSet{fs: pflag.NewFlagSet(command, pflag.ContinueOnError), rows: make(map[string]flagRow, len(rows)), env: map[string]bool{}}
	s.fs.SortFlags = false
	for _, r := range rows {
		s.rows[r.name] = r
		if r.kind != toggle {
			s.fs.String(r.name, r.def, r.help)
			continue
		}
		s.fs.Bool(r.name, r.def == "true", r.help)
		s.fs.Bool("disable_"+r.name, false, "turns "+r.name+" off")
		_ = s.fs.MarkHidden("disable_" + r.name)
	}
	s.fs.Usage = func() {}
	return s
}

// hint says which flag may have been meant, and where all of them stand.
func (s *flagSet) hint(err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	best, nearest := "", 3
	s.fs.VisitAll(func(f *pflag.Flag) {
		if d := distance(unknown.GetSpecifiedName(), f.Name); d < nearest {
			best, nearest = f.Name, d
		}
	})
	all := fmt.Sprintf("stadion %s --help lists all flags", s.fs.Name())
	if best != "" {
		return fmt.Sprintf("; did you mean --%s? %s", best, all)
	}
	return "; " + all
}

// distance counts the letters to insert, to drop or to change that make b out of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// parse reads the arguments and, for what they leave open, the environment. Every mistake names the flag and asks for
// exit code 112.
func (s *flagSet) parse(args []string, environ []string) error {
	if err := s.fs.Parse(args); err != nil {
		if err == pflag.ErrHelp {
			return err
		}
		return exitWith(exitFlag, "invalid command line: %v%s", err, s.hint(err))
	}
	if s.wants != "" {
		if s.fs.NArg() != 1 {
			return exitWith(exitFlag, "invalid command line: expected %s", s.wants)
		}
		s.operand = s.fs.Arg(0)
	} else if s.fs.NArg() > 0 {
		return exitWith(exitFlag, "invalid command line: unexpected argument %q", s.fs.Arg(0))
	}
	for _, kv := range environ {
		if err := s.fromEnv(kv); err != nil {
			return err
		}
	}
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if f := s.fs.Lookup(fallbackEnv[key]); f != nil && !f.Changed {
			if err := s.fs.Set(f.Name, value); err != nil {
				return exitWith(exitFlag, "invalid value of %s: %v", key, err)
			}
		}
	}
	for name := range s.rows {
		if err := s.check(name); err != nil {
			return err
		}
	}
	return nil
}

// fromEnv takes MARATHON_<NAME>=value; an empty value turns a toggle on.
func (s *flagSet) fromEnv(kv string) error {
	key, value, _ := strings.Cut(kv, "=")
	name, ours := strings.CutPrefix(key, "MARATHON_")
	if !ours || strings.HasPrefix(name, "APP_") {
		return nil
	}
	name = strings.ToLower(name)
	f := s.fs.Lookup(name)
	if f == nil {
		return nil // e.g. variables of a supervisor
	}
	if f.Changed {
		return exitWith(exitFlag, "flag --%s is given twice: on the command line and as %s", name, key)
	}
	if f.Value.Type() == "bool" && value == "" {
		value = "true"
	}
	if err := s.fs.Set(name, value); err != nil {
		return exitWith(exitFlag, "invalid value of %s: %v", key, err)
	}
	s.env[name] = true
	return nil
}

// check makes sure that a value has the type of its flag.
func (s *flagSet) check(name string) error {
	r := s.rows[name]
	if r.kind == text || r.kind == toggle {
		return nil
	}
	v := s.text(name)
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n < 0 || r.kind != decimal && n != float64(int64(n)) {
		return exitWith(exitFlag, "invalid value %q of --%s: expected a number that is not negative", v, name)
	}
	return nil
}

func (s *flagSet) text(name string) string {
	return s.fs.Lookup(name).Value.String()
}

func (s *flagSet) int(name string) int {
	n, _ := strconv.ParseFloat(s.text(name), 64) // checked by parse
	return int(n)
}

func (s *flagSet) int64(name string) int64 { return int64(s.int(name)) }

// on is the value of a toggle; --disable_name wins.
func (s *flagSet) on(name string) bool {
	return s.text(name) == "true" && s.text("disable_"+name) != "true"
}

// list is a value split at its commas, without blanks.
func (s *flagSet) list(name string) []string {
	var out []string
	for _, w := range strings.Split(s.text(name), ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// given reports whether the user set the flag.
func (s *flagSet) given(name string) bool { return s.fs.Changed(name) }

// warnings say what becomes of flags that do not have Marathon's meaning.
func (s *flagSet) warnings() []string {
	var out []string
	for _, r := range flagTable {
		if r.use == kept || s.fs.Lookup(r.name) == nil || !s.given(r.name) && (r.kind != toggle || !s.given("disable_"+r.name)) {
			continue
		}
		verb := "has no effect"
		if r.use == mapped {
			verb = "differs from Marathon"
		}
		out = append(out, fmt.Sprintf("--%s %s: %s", r.name, verb, r.help))
	}
	return out
}

// usage prints the flags in groups.
func usage(command, about string, rows []flagRow) {
	fmt.Fprintf(os.Stdout, "stadion %s: %s\n\nEvery flag can also be given as MARATHON_<NAME>.\n", command, about)
	group := ""
	for _, r := range rows {
		if r.group != group {
			group = r.group
			fmt.Fprintf(os.Stdout, "\n%s\n", strings.ToUpper(group))
		}
		name := "--" + r.name
		if r.kind == toggle {
			name = "--[disable_]" + r.name
		}
		note := ""
		if r.use == ignored {
			note = "(no effect) "
		}
		def := ""
		if r.def != "" {
			def = " [" + r.def + "]"
		}
		fmt.Fprintf(os.Stdout, "  %-44s %s%s%s\n", name, note, r.help, def)
	}
}
