//! `million`: a million connections in one broker process, and messages through it; `bench/million` starts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_bench::million::main()
}
