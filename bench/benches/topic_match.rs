//! Topics against 1 to 1,000,000 filters, with and without wildcards.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_core::topic::trie::FilterTrie;

const SIZES: [usize; 5] = [1, 100, 10_000, 100_000, 1_000_000];
/// Topics that are asked for in turn.
const TOPICS: usize = 1000;

/// A way to make the filter of a number; each topic matches one.
type Filter = fn(usize) -> String;

const KINDS: [(&str, Filter); 3] = [
    ("exact", |number| format!("plant/line-{}/machine/{number}", number % 100)),
    ("plus", |number| format!("plant/line-{}/+/{number}", number % 100)),
    ("hash", |number| format!("plant/line-{}/machine/{number}/#", number % 100)),
];

fn matches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic_match");
    group.throughput(Throughput::Elements(TOPICS as u64));
    for size in SIZES {
        let topics: Vec<String> = (0..TOPICS).map(|number| number * 7919 % size).map(KINDS[0].1).collect();
        for (kind, filter) in KINDS {
            let mut trie = FilterTrie::with_seed(7);
            for number in 0..size {
                trie.entry(&filter(number), || number);
            }
            group.bench_function(BenchmarkId::new(kind, size), |bencher| {
                bencher.iter(|| {
                    let mut found = 0_usize;
                    for topic in &topics {
                        trie.matches(black_box(topic), |_| found += 1);
                    }
                    assert_eq!(found, TOPICS);
                });
            });
        }
    }
    group.finish();
}

fn nobody(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic_without_match");
    for size in [1, 10_000, 1_000_000] {
        let mut trie = FilterTrie::with_seed(7);
        for number in 0..size {
            trie.entry(&KINDS[1].1(number), || number);
        }
        group.bench_function(BenchmarkId::new("plus", size), |bencher| {
            bencher.iter(|| trie.matches(black_box("office/floor-3/lamp/12"), |_| panic!("nobody wants it")));
        });
    }
    group.finish();
}

criterion_group!(benches, matches, nobody);
criterion_main!(benches);
