package main

const (
	access = "./marathonapi/access"
	server = "./cmd/stadion"
)

// guarded are mistakes about who may do what, and who gets to know of it.
var guarded = []mutation{
	{"let everybody in who gives a name", "S1", "marathonapi/access/guard.go",
		"if !ok || !g.Users.Check(name, password) {", "if !ok || password == name+name {", []string{access}},
	{"let unknown users in with somebody's password", "S1", "marathonapi/access/users.go",
		"if err != nil || !there {", "if err != nil {", []string{access}},
	{"give everybody the rights of a user", "S5", "marathonapi/access/rules.go",
		`if r.who == "*" || r.who == user ||`, `if r.who != "" || r.who == user ||`, []string{access, api}},
	{"give rights on the server with those on a part of the tree", "S5", "marathonapi/access/rules.go",
		"r.rights = OfTree //", "r.rights = All //", []string{access}},
	{"write secrets into the audit log", "S7", "marathonapi/access/guard.go",
		"record := &Record{mask: g.Mask}", "record := &Record{}", []string{access}},
	{"keep refused changes out of the audit log", "S8", "marathonapi/access/guard.go",
		"if changes(r.Method) {\n\t\tg.note(", "if !changes(r.Method) {\n\t\tg.note(", []string{access}},
	{"take changes from pages of other sites", "S10", "marathonapi/access/guard.go",
		"if g.foreign(r) {", "if g.foreign(r) && r == nil {", []string{access}},
	{"speak TLS of any age", "S2", "cmd/stadion/tls.go",
		"t := &tls.Config{MinVersion: tls.VersionTLS12,", "t := &tls.Config{MinVersion: tls.VersionTLS10,", []string{server}},
	{"take clients without a certificate", "S2", "cmd/stadion/tls.go",
		"tls.RequireAndVerifyClientCert", "tls.RequestClientCert", []string{server}},
	{"trust any etcd", "S3", "leader/dial.go",
		"c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}", "c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName, InsecureSkipVerify: true}", []string{server}},
	{"show etcd no certificate", "S3", "leader/dial.go",
		"c.Certificates = []tls.Certificate{pair}", "_ = pair", []string{server}},
	{"tell secrets in /v2/info", "S4", "cmd/stadion/front.go",
		"case secretFlags[name]:\n", "case secretFlags[name] && !fs.given(name):\n", []string{server}},
	{"subscribe without the secret", "S4", "offers/mesos/client.go",
		"req.Header.Set(\"Authorization\", c.authorization)", "req.Header.Set(\"X-Authorization\", c.authorization)", []string{"./offers/mesos"}},
	{"call without the secret", "S4", "offers/mesos/client.go",
		"b.WriteString(\"Authorization: \"", "b.WriteString(\"X-Authorization: \"", []string{"./offers/mesos"}},
	{"keep the identity from the leader", "S6", "marathonapi/proxy.go",
		"pr.Out.Header.Add(headerVia, p.via)", "pr.Out.Header.Add(headerVia, p.via)\n\tpr.Out.Header.Del(\"Authorization\")", []string{api}},
	{"let a standby's rules decide", "S6", "marathonapi/access/guard.go",
		"if !changes(r.Method) || !g.Leads() {", "if !changes(r.Method) {", []string{access}},
	{"take what comes back to the elected for a loop", "P26 D-55", "marathonapi/proxy.go",
		"if p.passedOn(r) && !p.elected() {", "if p.passedOn(r) {", []string{api}},
	{"let requests go round in a loop", "D-55", "marathonapi/proxy.go",
		"if strings.TrimSpace(v) == p.via {", "if v == p.via+p.via {", []string{api}},
}
