# The commands of herd. `make help` lists them.
.PHONY: help herd test check fmt clippy docs
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where cargo puts what it builds. A first build takes minutes, so it shows its progress; a later one says nothing.
TARGET := $(or $(CARGO_TARGET_DIR),target)

herd: ## build in release mode and run every server of topology.json
	@if [ -x $(TARGET)/release/herd ]; then cargo build --release --quiet; \
	else echo "building herd: the first time takes a few minutes"; cargo build --release; fi
	@exec $(TARGET)/release/herd up

test: ## run all tests
	cargo test

check: fmt clippy test docs ## what CI runs: format, clippy, tests, docs

fmt:
	cargo fmt --all -- --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
