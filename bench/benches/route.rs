//! Which other shards want a topic, by number of routes and of shards.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_core::topic::{ExactRoutes, RouteTable, ShardSet};

const TOPICS: usize = 1000;

fn topic(number: usize) -> String {
    format!("plant/line-{}/machine/{number}", number % 100)
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route_lookup");
    group.throughput(Throughput::Elements(TOPICS as u64));
    for shards in [2, 8, 64_u16] {
        for size in [100, 10_000, 1_000_000] {
            for (kind, wildcards) in [("exact", false), ("with_wildcards", true)] {
                let mut routes = RouteTable::new(7, Arc::new(ExactRoutes::new(7)));
                for number in 0..size {
                    routes.add(&topic(number), (number % usize::from(shards)) as u16);
                }
                if wildcards {
                    (0..shards).for_each(|shard| routes.add(&format!("plant/line-{shard}/#"), shard));
                }
                let topics: Vec<String> = (0..TOPICS).map(|number| topic(number * 7919 % size)).collect();
                let mut set = ShardSet::new();
                group.bench_function(BenchmarkId::new(format!("{kind}-{shards}-shards"), size), |bencher| {
                    bencher.iter(|| {
                        for topic in &topics {
                            set.clear();
                            routes.shards(black_box(topic), &mut set);
                            assert!(!set.is_empty());
                        }
                    });
                });
            }
        }
    }
    group.finish();
}

fn change(criterion: &mut Criterion) {
    let mut routes = RouteTable::new(7, Arc::new(ExactRoutes::new(7)));
    (0..10_000).for_each(|number| routes.add(&topic(number), 1));
    criterion.bench_function("route_change", |bencher| {
        bencher.iter(|| {
            routes.add(black_box("plant/line-1/machine/new"), 3);
            routes.remove(black_box("plant/line-1/machine/new"), 3);
        });
    });
}

criterion_group!(benches, lookup, change);
criterion_main!(benches);
