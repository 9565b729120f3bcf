# All targets do all of their set-up on a fresh Debian with nothing but Rust; elsewhere they say what is missing.
.PHONY: demo test test-all fast bench man dist

# Tests mostly wait for servers, so twice as many run at once as there are cores.
RUST_TEST_THREADS ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
export RUST_TEST_THREADS

# The whole story on a throwaway PostgreSQL, under live traffic. Options: make demo ARGS="--rows 100000 --keep"
demo:
	.ci/need cc postgres
	cargo run --release -- demo $(ARGS)

# What must pass before a change lands, on the installed PostgreSQL and on the oldest and newest supported. One of them: make test ARGS=name
test:
	.ci/need cc postgres pgbouncer npm
	if command -v apt-get >/dev/null; then .ci/need faketime pg_cron python3-venv activerecord; fi
	.ci/schemas
	.ci/migration-tools
	.ci/postgres-versions
	cargo test $(ARGS)

# The same with every long matrix whole, on every version that is supported: this takes hours.
test-all:
	.ci/need cc postgres pgbouncer npm
	if command -v apt-get >/dev/null; then .ci/need faketime pg_cron python3-venv activerecord; fi
	.ci/schemas
	.ci/migration-tools
	.ci/postgres-versions all
	CROSSFADE_TEST_ALL=1 cargo test $(ARGS)

# Those that need no server, in seconds.
fast:
	.ci/need cc
	cargo test --lib --test layers --test docs $(ARGS)

# One of the benches of benches/README.md: make bench BENCH=backfill ARGS="--rows 1m --repeat 3"
BENCH ?= backfill
bench:
	.ci/need cc postgres
	cargo bench --bench $(BENCH) -- $(ARGS)

# Man pages, one for each command: man -l target/man/crossfade.1
man:
	.ci/need cc
	cargo run --quiet -- man target/man

# What is published, in target/dist: a static binary, a Debian package, what is in them (CycloneDX) and checksums. See docs/install.md.
dist:
	.ci/dist
