# mosparoctl. "make help" lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GOLANGCI_VERSION   := v2.15.0
GORELEASER_VERSION := v2.14.0
TOOLS              := $(CURDIR)/.tools
FUZZTIME           ?= 20s
VERSION            ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# What the whole test suite needs beyond Go, as Debian names it.
DEBIAN_PACKAGES := openssh-server openssh-client sudo cron mariadb-server redis-server memcached haproxy nginx-light \
	php-cli php-fpm php-xml php-intl php-zip php-mbstring php-redis php-memcached php-igbinary php-mysql php-gd rsync patch tcsh fish zsh chromium chromium-driver tmux iproute2 strace

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## build ./mosparoctl
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o mosparoctl ./cmd/mosparoctl

.PHONY: demo
demo: ## show the main job on this machine
	go run ./cmd/mosparoctl demo

.PHONY: deps
deps: ## install the servers that the tests use (Debian, as root)
	@./.ci/deps $(DEBIAN_PACKAGES)

.PHONY: test
test: deps ## run all tests; installs the servers it needs on Debian, as root
	go test -timeout 25m $$(go list ./... | grep -v /internal/e2e$$)
	go test -timeout 25m -count=1 ./internal/e2e # builds the program by itself, which the test cache does not see

.PHONY: test-mysql
test-mysql: ## run the tests of the database against MySQL, unpacked from Debian unstable, as root
	@mkdir -p $(TOOLS)
	@./.ci/mysql $(TOOLS)/mysql

.PHONY: race
race: ## run the tests with the race detector (slow)
	go test -race -timeout 60m ./...

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(TOOLS)/goreleaser-$(GORELEASER_VERSION):
	GOBIN=$(TOOLS) go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	mv $(TOOLS)/goreleaser $@

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) ## run the linters, import boundaries included
	$< run ./...

.PHONY: vectors
vectors: ## replay the recorded replies of mosparo 1.5.4 against serve
	@set -o pipefail; go test ./protection/conformance -run 'TestVectors|TestDifferences|TestExceptions' -count=1 -v | grep -v '^=== '

.PHONY: bench-serve
bench-serve: ## measure serve: flows, CPU, latency, memory; takes minutes
	@set -o pipefail; go test -tags bench ./protection/bench -run TestServe -count=1 -timeout 60m -v | grep -v '^=== '

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (20s)
	@./.ci/fuzz $(FUZZTIME)

.PHONY: docs
docs: ## write docs/cli, which is generated
	rm -rf docs/cli
	go run ./cmd/mosparoctl docs --markdown docs/cli

.PHONY: pictures
pictures: deps ## make the pictures of the docs anew, of what the tests of the full screen see
	@./.ci/pictures

.PHONY: snapshot
snapshot: $(TOOLS)/goreleaser-$(GORELEASER_VERSION) ## build all archives and packages into dist/
	$< check
	$< release --snapshot --clean
