# What people and CI run. `make help` lists it.

GO      ?= go
FUZZ    ?= 60s
SEED    ?= 1

# Every fuzz target: package and name.
FUZZERS = $(shell grep -rHoE '^func Fuzz[A-Za-z]+' --include='*_test.go' . | sed -E 's|^\./(.*)/[^/]*:func (.*)|\1:\2|')

# The version that the program says it is; by itself Go knows the tag or the commit.
VERSION ?=
LDFLAGS  = -s -w $(if $(VERSION),-X github.com/milterkit/sdk/daemon.namedVersion=$(VERSION))

# Where `make install` puts things, and for which system.
GOOS    ?= $(shell $(GO) env GOOS)
PREFIX  ?= /usr/local
DESTDIR ?=
BIN     ?= bin
SHARE    = $(DESTDIR)$(PREFIX)/share

.PHONY: build demo bench site help test test-quick test-alloc test-long test-packages soak fuzz cover install-test-deps install packages release

build: ## the program, as bin/milterkit
	$(GO) build -trimpath -o bin/milterkit ./cmd/milterkit

# The pages and completions are the program's own, so one is built that runs here; what
# is installed may be for another system (GOOS, GOARCH).
install: ## the program, its manual pages, completions and service (PREFIX, DESTDIR)
	GOOS= GOARCH= CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/milterkit ./cmd/milterkit
	install -d $(DESTDIR)$(PREFIX)/sbin $(SHARE)/man/man8 $(SHARE)/doc/milterkit \
		$(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(DESTDIR)$(PREFIX)/sbin/milterkit ./cmd/milterkit
	$(BIN)/milterkit man $(SHARE)/man/man8
	gzip -9nf $(SHARE)/man/man8/milterkit*.8
	$(BIN)/milterkit completion bash >$(SHARE)/bash-completion/completions/milterkit
	$(BIN)/milterkit completion zsh >$(SHARE)/zsh/site-functions/_milterkit
	$(BIN)/milterkit completion fish >$(SHARE)/fish/vendor_completions.d/milterkit.fish
	install -m 644 LICENSE $(SHARE)/doc/milterkit/copyright
	gzip -9nc CHANGELOG.md >$(SHARE)/doc/milterkit/CHANGELOG.md.gz
	install -m 644 packaging/prometheus/milterkit.rules.yml $(SHARE)/doc/milterkit/milterkit.rules.yml
	install -m 644 packaging/grafana/milterkit.json $(SHARE)/doc/milterkit/milterkit.grafana.json
	install -d $(SHARE)/man/man5
	gzip -9nc $(SHARE)/man/man8/milterkit.toml.5 >$(SHARE)/man/man5/milterkit.toml.5.gz
	rm $(SHARE)/man/man8/milterkit.toml.5
ifeq ($(GOOS),linux)
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/sbin,$(PREFIX)/sbin,' packaging/systemd/milterkit.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/milterkit.service
	install -m 644 packaging/systemd/milterkit.socket $(DESTDIR)$(PREFIX)/lib/systemd/system
else ifeq ($(GOOS),freebsd)
	install -d $(DESTDIR)$(PREFIX)/etc/rc.d
	sed 's,/usr/local,$(PREFIX),' packaging/freebsd/milterkit >$(DESTDIR)$(PREFIX)/etc/rc.d/milterkit
	chmod 755 $(DESTDIR)$(PREFIX)/etc/rc.d/milterkit
endif

packages: ## a deb and an rpm for amd64 and arm64, in bin/release
	packaging/build.sh packages

release: ## packages, archives for Linux and FreeBSD, SBOMs and checksums, in bin/release
	packaging/build.sh release

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
	$(GO) test -short $$($(GO) list ./... | grep -vE '/sdk/test(/packages)?$$')
	cd examples && $(GO) vet ./... && $(GO) test ./...
	cd docs/site && $(GO) vet ./... && $(GO) test ./...

test: install-test-deps ## all that CI runs: race detector, allocation gates, real mail servers and filters (root)
	$(GO) vet ./...
	$(GO) test -race -count=1 -timeout 15m ./...
	cd examples && $(GO) vet ./... && $(GO) test -race -count=1 ./...
	cd bench/peers && $(GO) vet ./... && $(GO) test -count=1 ./...
	cd docs/site && $(GO) vet ./... && $(GO) test -count=1 ./...
	cd test/browser && $(GO) vet ./...
	$(MAKE) --no-print-directory test-alloc

test-long: test test-packages test-browser soak fuzz cover bench ## what takes minutes: sessions by the thousand, fuzzing, coverage, benchmarks

test-browser: ## the status page in a real browser, headless Chromium (root; SCREENSHOTS=FOLDER keeps pictures of it)
	@test/install.sh browser
	cd test/browser && $(GO) vet ./... && $(GO) test -count=1 ./...

test-alloc: ## gates of allocations, and of time on hostile mail, which the race detector would disturb
	$(GO) test -run 'Alloc' ./milterkit/... ./internal/... ./daemon/internal/...
	$(GO) test -run 'Hostile' ./daemon
	$(GO) test -run 'LookUps' ./daemon/internal/journal -args -lookups 10000

test-packages: install-test-deps ## deb and rpm on a Debian that systemd boots (root)
	$(GO) test -count=1 -v ./test/packages -args -systemd

soak: ## 10,000 sessions of milters that go wrong, against native twins (SEED is the first seed), and 300 at once
	$(GO) test -race -timeout 30m -run TestSoak -v ./milterkit/remote -args -sessions 10000 -seed $(SEED)
	$(GO) test -race -run TestMoreSessions -v ./daemon
	$(GO) test -race -timeout 20m -run TestNoMessageIsLostOverReloads -v ./test -args -reload-messages 2000

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
