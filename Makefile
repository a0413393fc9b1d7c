# The commands of herd. `make help` lists them.
.PHONY: help herd test check fmt clippy docs sim fuzz fuzz-check mixes canary kills netns soak instructions \
	instructions-record bench-build bench bench-quick bench-check bench-tools
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where cargo puts what it builds. A first build takes minutes, so it shows its progress; a later one says nothing.
TARGET := $(or $(CARGO_TARGET_DIR),target)

herd: ## build in release mode and run every server of topology.json
	@[ -x "$(TARGET)/release/herd" ] || { echo "building herd: the first time takes a few minutes"; cargo build --release; }
	@exec cargo run --release --quiet -- up

test: ## run all tests
	cargo test

check: fmt clippy test docs ## what CI runs: format, clippy, tests, docs

fmt:
	cargo fmt --all -- --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Plain `cargo test` tells a few of these stories, built without optimisation; this tells HERD_SEEDS, beginning with seed
# HERD_FIRST, prints the command that replays one that fails, and puts every bug of docs/simulator.md in.
sim: ## simulate whole herds under faults, one for each of HERD_SEEDS seeds
	HERD_SEEDS=$${HERD_SEEDS:-500} cargo test --profile sim -p herd-actors --test simulation seeds:: -- \
	--nocapture --test-threads 1

# What must hold for any bytes. Without a sanitizer, which would want a nightly compiler and has little to find where
# nothing is unsafe. A failure is kept in fuzz/artifacts; copied to core/tests/corpus it is replayed for ever.
FUZZ_SECONDS ?= 60

fuzz: ## fuzz each target for FUZZ_SECONDS (needs cargo-fuzz)
	@cargo fuzz --version >/dev/null 2>&1 || { echo "skipped: install with 'cargo install cargo-fuzz'"; exit 0; }; \
	for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
	mkdir -p fuzz/corpus/$$target && \
	cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target core/tests/corpus/$$target -- \
	-max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; done

mixes: ## let every mix of makes in every shape of five servers fall silent, HERD_MIXES times
	HERD_MIXES=$${HERD_MIXES:-10} cargo test --profile sim -p herd-core --test dialects herds_of_five

canary: ## the tests of the program with everything logged, which must show no secret
	HERD_TEST_LOG=trace cargo test --package herd

kills: ## kill a server under load HERD_KILLS times and look for what it acknowledged
	HERD_KILLS=$${HERD_KILLS:-200} cargo test --profile stress --package herd --test memory killed -- --nocapture

soak: ## measure a herd of HERD_SOAK records under stress: damage, partitions, restarts, bad company
	ulimit -n $$(ulimit -Hn); \
	HERD_SOAK=$${HERD_SOAK:-1000000} cargo test --profile stress --package herd --test soak -- --nocapture --test-threads 1

# The network namespace is the test's own, so that it cannot touch the network of the machine.
netns: ## part, heal and join servers in network namespaces (needs root and iproute2)
	@if ! command -v ip >/dev/null || ! unshare --net ip link set lo up 2>/dev/null; then \
	echo "skipped: network namespaces take root, and ip and unshare of Linux"; exit 0; fi; \
	cargo test --package herd --test namespaces --no-run && \
	HERD_NETNS=1 unshare --net cargo test --package herd --test namespaces -- --nocapture

instructions: ## count the instructions of the core's hot paths, and fail if one has grown
	@cargo run --release --quiet --package herd-instructions

instructions-record: ## count them and write the counts to core/instructions/counts.txt
	@cargo run --release --quiet --package herd-instructions -- --record

# Rows and lengths: `make bench BENCH="--rows 1,3,5 --runs 9"`. The figures of a whole bench go to docs/bench.json and
# docs/bench.svg, those of some rows only to the terminal.
BENCH ?=
FIGURES = $(if $(filter --rows%,$(BENCH)),,--json docs/bench.json --svg docs/bench.svg)

bench-build:
	@cargo build --release --quiet --target-dir target
	@cargo build --release --quiet --manifest-path bench/Cargo.toml --target-dir bench/target

bench: bench-build ## measure the herd against its targets (10 to 20 minutes; wants a quiet machine)
	bench/target/release/herd-bench run --herd target/release/herd $(FIGURES) $(BENCH)

bench-quick: bench-build ## the same in two minutes, to see that all works: not to be quoted
	bench/target/release/herd-bench run --quick --herd target/release/herd $(BENCH)

# They are workspaces of their own, so that they slow no normal build; what they depend on is often built for the others.
bench-check: ## format, clippy and tests of the bench itself
	export CARGO_TARGET_DIR="$(TARGET)" && cargo fmt --manifest-path bench/Cargo.toml -- --check && \
	cargo clippy --manifest-path bench/Cargo.toml --all-targets -- -D warnings && \
	cargo test --manifest-path bench/Cargo.toml

fuzz-check: ## format and clippy of the fuzz targets (needs a C++ compiler)
	@if ! command -v c++ >/dev/null; then echo "skipped: fuzz targets take a C++ compiler"; exit 0; fi; \
	export CARGO_TARGET_DIR="$(TARGET)" && cargo fmt --manifest-path fuzz/Cargo.toml -- --check && \
	cargo clippy --manifest-path fuzz/Cargo.toml -- -D warnings

# The package starts a server of its own, which would idle beside what is measured. One that was there before is somebody's.
bench-tools: ## install redis-server, which the bench compares with (needs root and apt), and stop its service
	@if command -v redis-server; then echo "is there; stop its service, if it runs, while you measure"; exit 0; fi; \
	apt-get update && apt-get install -y redis-server && \
	if command -v systemctl >/dev/null; then systemctl disable --now redis-server || true; fi
