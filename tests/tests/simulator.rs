//! The simulator over many seeds, and what chance meets too seldom.
//!
//! `MILLRACE_SIM_SEED=n` runs one seed (`MILLRACE_FUZZ_SEED=n` one of the fuzz body); `MILLRACE_SIM_SEEDS=n` so many,
//! from `MILLRACE_SIM_FIRST` (0) on.

use std::panic::catch_unwind;

use millrace_tests::sim;

/// After so many failures there is enough to look at.
const FAILURES_MAX: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs seeds; tells all that fail and how to run them again.
fn run_all(name: &str, seeds: impl Iterator<Item = u64>, run: fn(u64) -> u64) -> u64 {
    let mut failed = Vec::new();
    let mut proven = 0;
    for seed in seeds {
        match catch_unwind(|| run(seed)) {
            Ok(more) => proven += more,
            Err(_) => {
                eprintln!("seed {seed} failed");
                failed.push(seed);
            }
        }
        if failed.len() >= FAILURES_MAX {
            break;
        }
    }
    for seed in &failed {
        eprintln!("failed; again: {name}={seed} cargo test -p millrace-tests --test simulator");
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
    proven
}

#[test]
fn what_clients_were_promised_holds_whatever_goes_wrong() {
    if let Some(seed) = number("MILLRACE_SIM_SEED") {
        println!("{} deliveries proven", sim::run(seed));
        return;
    }
    let first = number("MILLRACE_SIM_FIRST").unwrap_or(0);
    let count = number("MILLRACE_SIM_SEEDS").unwrap_or(100);
    let proven = run_all("MILLRACE_SIM_SEED", first..first + count, sim::run);
    println!("{count} seeds, {proven} deliveries proven");
    assert!(proven > count, "simulations in which nothing happens prove nothing");
}

#[test]
fn no_bytes_break_a_broker_of_two_shards() {
    if let Some(seed) = number("MILLRACE_FUZZ_SEED") {
        println!("{} bytes", sim::fuzz::run(seed));
        return;
    }
    let first = number("MILLRACE_SIM_FIRST").unwrap_or(0);
    let count = number("MILLRACE_SIM_SEEDS").unwrap_or(100);
    let fed = run_all("MILLRACE_FUZZ_SEED", first..first + count, sim::fuzz::run);
    println!("{count} seeds, {fed} bytes fed");
}

#[test]
fn thousands_of_retained_messages_reach_a_subscriber_of_everything() {
    run_all("seed", 0..3, sim::scenarios::retained_by_thousands);
}

#[test]
fn of_many_connections_with_one_client_id_one_wins_and_the_others_are_told() {
    run_all("seed", 0..10, sim::scenarios::takeover_storm);
}

#[test]
fn a_broker_that_stops_tells_everybody_and_takes_nobody_more() {
    run_all("seed", 0..30, sim::scenarios::drain_in_the_middle);
}

#[test]
fn a_broker_short_of_memory_takes_nobody_more_and_counts_it() {
    run_all("seed", 0..10, sim::scenarios::short_of_memory);
}

#[test]
fn a_seed_says_everything() {
    for seed in 0..8 {
        assert_eq!(sim::trace(seed), sim::trace(seed), "seed {seed}");
    }
}

/// Each of these seeds fails if what its test is named after does not hold.
mod found {
    use millrace_tests::sim;

    fn holds(seed: u64) {
        assert!(sim::run(seed) > 0);
    }

    #[test]
    fn a_second_subscriber_of_a_filter_waits_for_the_route_too() {
        holds(87);
    }

    #[test]
    fn a_socket_that_fails_before_its_handover_frame_makes_no_connection() {
        holds(36);
    }

    #[test]
    fn what_waits_for_room_in_the_output_is_woken_without_an_acknowledgement() {
        holds(2);
    }

    #[test]
    fn what_is_sent_again_keeps_to_the_new_receive_maximum() {
        holds(57);
    }
}
