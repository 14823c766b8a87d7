//! Packets to structs and back, by version and size.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_bench::packets;
use millrace_core::codec::publish::Delivery;
use millrace_core::codec::{self, Direction};
use millrace_core::packet::{ProtocolVersion, QoS};

const TOPIC: &str = "plant/line-7/machine/press-4";
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for version in VERSIONS {
        for (name, packet) in [
            ("connect", packets::connect(version, "press-4")),
            ("subscribe", packets::subscribe(version, "plant/+/machine/#", QoS::AtLeastOnce)),
            ("publish-64", packets::publish(version, TOPIC, QoS::AtLeastOnce, 7, &[b'x'; 64])),
            ("publish-4096", packets::publish(version, TOPIC, QoS::AtLeastOnce, 7, &[b'x'; 4096])),
        ] {
            group.throughput(Throughput::Bytes(packet.len() as u64));
            group.bench_with_input(BenchmarkId::new(name, version), &packet, |bencher, packet| {
                bencher.iter(|| codec::decode(version, Direction::ToServer, black_box(packet)).is_ok());
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(8192);
    for version in VERSIONS {
        for size in [64, 4096] {
            let payload = vec![b'x'; size];
            let delivery = Delivery {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                packet_id: Some(packets::id(7)),
                topic: TOPIC,
                topic_alias: None,
                message_expiry: None,
                subscription_ids: &[],
                properties: &[],
                payload: &payload,
            };
            group.throughput(Throughput::Bytes(delivery.size(version) as u64));
            group.bench_function(BenchmarkId::new(format!("publish-{size}"), version), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&delivery).encode(version, &mut out)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
