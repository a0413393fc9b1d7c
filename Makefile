# The commands of herd. `make help` lists them.
.PHONY: help herd test check fmt clippy docs
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

herd: ## build in release mode and run every server of topology.json
	@cargo build --release --quiet
	@exec target/release/herd up

test: ## run all tests
	cargo test

check: fmt clippy test docs ## what CI runs: format, clippy, tests, docs

fmt:
	cargo fmt --all -- --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
