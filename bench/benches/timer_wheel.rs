//! Deadlines in the timing wheel: put in, asked for, due.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_core::time::Millis;
use millrace_shards::shard::timer_wheel::TimerWheel;

/// Deadlines within a Keep Alive of five minutes.
const SPREAD_MS: u64 = 300_000;

/// A wheel with so many timers, spread.
fn filled(timers: u64) -> TimerWheel<u64> {
    let mut wheel = TimerWheel::new(Millis(0));
    (0..timers).for_each(|number| wheel.insert(Millis(number * 7919 % SPREAD_MS), number));
    wheel
}

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_insert");
    for timers in [1000, 1_000_000_u64] {
        group.throughput(Throughput::Elements(timers));
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(timers), |bencher| {
            bencher.iter(|| filled(black_box(timers)));
        });
    }
    group.finish();
}

fn fire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_fire");
    for timers in [1000, 1_000_000_u64] {
        group.throughput(Throughput::Elements(timers));
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(timers), |bencher| {
            bencher.iter_batched(
                || filled(timers),
                |mut wheel| {
                    let mut fired = 0;
                    for now in (0..=SPREAD_MS + 250).step_by(250) {
                        while wheel.pop(Millis(now)).is_some() {
                            fired += 1;
                        }
                    }
                    assert_eq!(fired, timers);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn ask(criterion: &mut Criterion) {
    let wheel = filled(1);
    let far = {
        let mut wheel = TimerWheel::new(Millis(0));
        wheel.insert(Millis(SPREAD_MS), 1_u64);
        wheel
    };
    criterion.bench_function("timer_next_deadline", |bencher| bencher.iter(|| black_box(&wheel).next_deadline()));
    criterion.bench_function("timer_next_deadline_far", |bencher| bencher.iter(|| black_box(&far).next_deadline()));
}

criterion_group!(benches, insert, fire, ask);
criterion_main!(benches);
