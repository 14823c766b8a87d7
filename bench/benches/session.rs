//! One delivery through a session: decided, sent, acknowledged; and one that has to wait.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use millrace_core::message::{Lazy, Message, MessageHead, MessageView};
use millrace_core::packet::{ProtocolVersion, QoS};
use millrace_core::session::{Admit, Grant, QueueLimits, Session};
use millrace_core::time::Millis;

const LIMITS: QueueLimits =
    QueueLimits { messages: 1000, bytes: 8 << 20, drop_oldest: true, keep_qos0: false, keep_all: false };

fn view() -> MessageView<'static> {
    MessageView {
        head: MessageHead { qos: QoS::ExactlyOnce, retain: false, expires_at: Millis::NEVER, publisher: 1 },
        topic: "plant/line-7/machine/press-4",
        properties: b"",
        payload: &[b'x'; 64],
    }
}

fn session(expiry: u32) -> Session {
    let mut session = Session::new("client", 1, ProtocolVersion::V5, expiry);
    session.inflight.set_limit(1024);
    session
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    let message = Message::new(&view());
    for (name, qos, expiry) in [
        ("qos0", QoS::AtMostOnce, 0),
        ("qos1", QoS::AtLeastOnce, 0),
        ("qos1-kept", QoS::AtLeastOnce, 3600),
        ("qos2", QoS::ExactlyOnce, 0),
        ("qos2-kept", QoS::ExactlyOnce, 3600),
    ] {
        let grant = Grant { qos, ..Grant::default() };
        let mut session = session(expiry);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let lazy = Lazy::shared(black_box(&message));
                match session.admit(&lazy, &grant, true, true, &LIMITS) {
                    Admit::Send(Some(id)) if qos == QoS::AtLeastOnce => {
                        black_box(session.on_puback(id));
                    }
                    Admit::Send(Some(id)) => {
                        black_box(session.on_pubrec(id, false));
                        black_box(session.on_pubcomp(id));
                    }
                    Admit::Send(None) => {}
                    other => panic!("there is room: {other:?}"),
                }
            });
        });
    }
    let grant = Grant { qos: QoS::AtLeastOnce, ..Grant::default() };
    let mut away = session(3600);
    group.bench_function("queued-while-away", |bencher| {
        bencher.iter(|| away.admit(&Lazy::shared(black_box(&message)), &grant, false, true, &LIMITS));
    });
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
