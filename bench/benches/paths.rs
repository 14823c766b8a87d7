//! The hot paths of the gate, in time: `cargo bench -p millrace-bench --features criterion --bench paths -- publish`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_bench::meter::Meter;
use millrace_bench::paths::PATHS;

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("paths");
    for path in PATHS {
        let mut round = (path.prepare)();
        group.throughput(Throughput::Elements(path.operations));
        group.bench_function(path.name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut meter = Meter::new();
                (0..rounds).for_each(|_| round(&mut meter));
                meter.spent()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, paths);
criterion_main!(benches);
