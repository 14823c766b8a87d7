//! `compare`: Millrace and its peers in the same scenarios, in turn; `bench/compare` starts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_bench::compare::main()
}
