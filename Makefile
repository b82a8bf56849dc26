# make run    everything on this machine: etcd, a miniature Mesos with real processes, the API on :8080
# make test   all tests; make lint: gofmt, go vet, staticcheck; make bench: the benchmarks; make build: bin/stadion
# make compat MARATHON_URL=…: a table of what works for clients of Marathon against any server
GO      ?= go
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.buildVersion=$(VERSION)
# Packages with goroutines run under the race detector as well.
RACY    := ./core/loop/... ./core/store/... ./core/probe/... ./leader/... ./marathonapi ./marathonapi/access/... ./marathonapi/metrics/... ./offers/mesos/... ./offers/minimesos/...
ARGS    ?=

.PHONY: run build test test-race test-fuzz test-compat lint bench bench-micro soak soak-processes mutation fuzz clean compat soak-churn floods

run: build
	bin/stadion dev $(ARGS)

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/stadion ./cmd/stadion

test: build test-race test-fuzz test-compat
	$(GO) test ./...

test-race:
	$(GO) test -race $(RACY)

# A short run of every fuzz target; make fuzz runs them for long. Counted, because a run that is ended by the clock may
# fail with "context deadline exceeded".
FUZZERS := FuzzApp FuzzUpdate FuzzGroup FuzzPod
test-fuzz:
	@for f in $(FUZZERS); do $(GO) test ./marathonapi/wire -run '^$$' -fuzz "^$$f\$$" -fuzztime 5000x -fuzzminimizetime 100x || exit 1; done

# Run anew each time: the cache of go test knows nothing of files outside of compat-tests, such as the binary and the sources.
# These tests wait for processes more than they compute, so more packages run at once than there are cores.
test-compat: build
	cd compat-tests && STADION_BINARY=$(CURDIR)/bin/stadion $(GO) test -count=1 -p 3 ./...

# What clients of Marathon find, as a table: against stadion dev and a cluster, or against MARATHON_URL=http://host:port alone.
compat: build
	cd compat-tests && $(GO) test -c -o ../bin/compat ./clients
	STADION_BINARY=$(CURDIR)/bin/stadion MARATHON_URL=$(MARATHON_URL) bin/compat -test.run 'TestClients' -test.count 1

lint:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd compat-tests && $(GO) vet ./...

# The whole against its bars, on small sizes; BENCH=full for the real ones, MEASURES="P1 G1" for a few. Go's own benchmarks: bench-micro.
bench: build
	cd compat-tests && mkdir -p ../bin && $(GO) build -o ../bin/bench ./bench && STADION_BINARY=$(CURDIR)/bin/stadion ../bin/bench $(MEASURES)

bench-micro:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# More seeds of the simulation than CI has time for; FIRST=100000 takes others than last night's.
SEEDS ?= 20000
FIRST ?= 1
soak:
	$(GO) test ./core/simulation -run TestWorlds -first $(FIRST) -seeds $(SEEDS) -timeout 24h -v

# Faults on real processes for long: every place to die in every workload, and a cluster in which everything fails.
RAGE ?= 1h
soak-processes: build
	cd compat-tests && STADION_BINARY=$(CURDIR)/bin/stadion $(GO) test ./crash -v -crash.points 0 -crash.kills 400 -timeout 2h
	cd compat-tests && STADION_BINARY=$(CURDIR)/bin/stadion $(GO) test ./cluster -v -cluster.for $(RAGE) -timeout 24h

# Mistakes made on purpose: do the tests notice? ONLY='fence|seq' for those whose name matches, JOBS at a time. It takes two hours of one core.
ONLY ?= .
JOBS ?= 1
mutation:
	cd compat-tests && $(GO) run ./mutation -run '$(ONLY)' -j $(JOBS)

# Servers under churn for an hour, and whether anything grows: a report in bin/soak.svg and bin/soak.txt.
DURATION ?= 1h
APPS     ?= 1000
soak-churn: build
	cd compat-tests && STADION_BINARY=$(CURDIR)/bin/stadion $(GO) test ./soak -run TestChurn -count=1 -v -timeout 0 \
		-soak.duration $(DURATION) -soak.apps $(APPS) -soak.report $(CURDIR)/bin/soak

# A master at its worst, in full size: 5,000 offers a second for a minute, 200,000 updates at once.
floods: build
	cd compat-tests && STADION_BINARY=$(CURDIR)/bin/stadion $(GO) test ./floods -count=1 -v -timeout 1h -test.parallel 1 \
		-floods.offers 300000 -floods.agents 500 -floods.updates 200000

FUZZTIME ?= 10m
fuzz:
	@for f in $(FUZZERS); do $(GO) test ./marathonapi/wire -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; done

clean:
	rm -rf bin
