//! Entries between shards: pushed, published once, read.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_shards::mesh::{Endpoint, mesh};
use millrace_shards::shard::io::ShardId;

/// Reads all that is due.
fn drain(endpoint: &mut Endpoint<u64>) -> u64 {
    endpoint.open_mail();
    let mut sum = 0;
    while let Some((_, entry)) = endpoint.pop() {
        sum += entry;
    }
    endpoint.close_mail(|_| {});
    sum
}

fn between(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh");
    for shards in [2, 8, 64_u16] {
        for batch in [1, 16, 256_u64] {
            let mut ends = mesh::<u64>(shards);
            let others = u64::from(shards - 1);
            group.throughput(Throughput::Elements(batch * others));
            group.bench_function(BenchmarkId::new(format!("to-each-of-{shards}"), batch), |bencher| {
                bencher.iter(|| {
                    for to in 1..shards {
                        (0..batch).for_each(|entry| assert!(ends[0].push(ShardId(to), entry)));
                    }
                    ends[0].flush(|_| {});
                    ends.iter_mut().skip(1).map(drain).sum::<u64>()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, between);
criterion_main!(benches);
