//! `gate`: compares the instructions of the hot paths with the committed baseline; `bench/gate` starts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_bench::gate::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
