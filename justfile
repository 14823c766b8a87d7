# Shortcuts. Nothing needs them: each recipe is a command that can be typed.

# The broker, on 127.0.0.1:1883.
run *arguments:
    cargo run --release -- {{arguments}}

# All that can be said without running the broker.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features millrace-tests/clients,millrace-tests/browser,millrace-tests/long,millrace-bench/criterion -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: skipped"; fi
    cargo test -p millrace-tests --test house

# One test by name, or everything that is not long.
test name="":
    {{ if name == "" { "./tests/run" } else { "cargo test --workspace " + name } }}

# The simulator, on one seed or on its usual ones.
sim seed="":
    {{ if seed == "" { "" } else { "MILLRACE_SIM_SEED=" + seed + " " } }}cargo test -p millrace-tests --test simulator

# A fuzz body with seeded input on the stable toolchain, for instance `just fuzz decode`.
fuzz target:
    cargo test --workspace --release fuzz_{{target}}

# Instructions of the hot paths against the baseline; `just gate --bless` keeps what was counted.
gate *arguments:
    bench/gate {{arguments}}

# Benches of the parts by name, for instance `just bench topic_match`; without a name all of them.
bench name="":
    cargo bench -p millrace-bench --features criterion {{ if name == "" { "" } else { "--bench " + name } }}

# Millrace beside its peers, in turn.
compare *arguments:
    bench/compare {{arguments}}

# A million connections in one process.
million *arguments:
    bench/million {{arguments}}

# What continuous integration runs.
ci:
    .ci/run
