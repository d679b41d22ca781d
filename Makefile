# What people and CI run. `make help` lists it.

GO      ?= go
FUZZ    ?= 60s
SEED    ?= 1

# Every fuzz target: package and name.
FUZZERS = $(shell grep -rHoE '^func Fuzz[A-Za-z]+' --include='*_test.go' . | sed -E 's|^\./(.*)/[^/]*:func (.*)|\1:\2|')

.PHONY: build demo bench site help test test-quick test-alloc test-long soak fuzz cover install-test-deps

build: ## the program, as bin/milterkit
	$(GO) build -trimpath -o bin/milterkit ./cmd/milterkit

demo: build ## play real messages past a chain of filters, and show who said what
	bin/milterkit demo

bench: ## what milterkit costs, beside what one would use instead: 10 minutes, a report in bin/bench
	cd bench/peers && $(GO) run . -out ../../bin/bench

site: ## the documentation as a web site, without a network: bin/site/index.html
	cd docs/site && $(GO) run . -out ../../bin/site

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' Makefile | column -t -s '|'

# ---- the three tiers of tests ----

test-quick: ## unit, property and house tests; no outside program, under 2 minutes, any user
	$(GO) vet ./...
	$(GO) test -short $$($(GO) list ./... | grep -v '/sdk/test$$')
	cd examples && $(GO) vet ./... && $(GO) test ./...
	cd docs/site && $(GO) vet ./... && $(GO) test ./...

test: install-test-deps ## all that CI runs: race detector, allocation gates, real mail servers and filters (root)
	$(GO) vet ./...
	$(GO) test -race -count=1 -timeout 15m ./...
	cd examples && $(GO) vet ./... && $(GO) test -race -count=1 ./...
	cd bench/peers && $(GO) vet ./... && $(GO) test -count=1 ./...
	cd docs/site && $(GO) vet ./... && $(GO) test -count=1 ./...
	$(MAKE) --no-print-directory test-alloc

test-long: test soak fuzz cover bench ## what takes minutes: sessions by the thousand, fuzzing, coverage, benchmarks

test-alloc: ## gates of allocations, and of time on hostile mail, which the race detector would disturb
	$(GO) test -run 'Alloc' ./milterkit/... ./internal/...
	$(GO) test -run 'Hostile' ./daemon

soak: ## 10,000 sessions of milters that go wrong, against native twins (SEED is the first seed), and 300 at once
	$(GO) test -race -timeout 30m -run TestSoak -v ./milterkit/remote -args -sessions 10000 -seed $(SEED)
	$(GO) test -race -run TestMoreSessions -v ./daemon

fuzz: ## every fuzz target for FUZZ (60s)
	@set -e; for f in $(FUZZERS); do \
		echo "== $${f#*:} in $${f%%:*}"; \
		$(GO) test -run '^$$' -fuzz "^$${f#*:}\$$" -fuzztime $(FUZZ) ./$${f%%:*}; \
	done

cover: ## statement coverage of the library
	$(GO) test -short -coverpkg=./milterkit/... -coverprofile=coverage.out $$($(GO) list ./milterkit/... ./daemon/...)
	$(GO) tool cover -func=coverage.out | tail -n 1

install-test-deps: ## what the tests with real parts need, from Debian's packages
	@test/install.sh
