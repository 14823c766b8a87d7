//! Signals while all are busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_tests::broker::Setup;
use millrace_tests::wire::{Client, Publish, build};

use super::V5;

/// Clients that flood a topic each until the broker says goodbye; each gives back the Reason Code it heard.
fn flood(broker: &millrace_tests::broker::Broker) -> (Vec<std::thread::JoinHandle<Option<u8>>>, Arc<AtomicBool>) {
    let begun = Arc::new(AtomicBool::new(false));
    let threads = (0..4)
        .map(|number| {
            let mut client = Client::connect(broker, V5, &format!("flood-{number}"));
            let topic = format!("flood/{number}");
            client.subscribe(&topic, 0);
            let begun = Arc::clone(&begun);
            std::thread::spawn(move || {
                let batch = Publish::new(&topic, vec![b'x'; 200]).bytes(V5).repeat(20);
                loop {
                    client.send_perhaps(&batch);
                    for _ in 0..20 {
                        match client.receive_or_close() {
                            Some(packet) if packet.kind() == 14 => return Some(packet.disconnect().0),
                            Some(_) => begun.store(true, Ordering::Relaxed),
                            None => return None,
                        }
                    }
                }
            })
        })
        .collect();
    (threads, begun)
}

#[test]
fn sigterm_under_load_says_goodbye_to_all_within_its_bound() {
    let mut broker = Setup::new().start();
    // One never reads, so that its output waits.
    let mut stuck = Client::connect(&broker, V5, "stuck");
    stuck.send(&build::subscribe(V5, 1, &[], &[("flood/#", 0)]));
    let (threads, begun) = flood(&broker);
    std::thread::sleep(Duration::from_secs(1));
    assert!(begun.load(Ordering::Relaxed), "the flood flows");
    let asked = Instant::now();
    broker.signal(libc::SIGTERM);
    let status = broker.wait();
    let lasted = asked.elapsed();
    assert!(status.success(), "{status}");
    assert!(lasted < Duration::from_secs(8), "the stop took {lasted:?}");
    for thread in threads {
        assert_eq!(thread.join().expect("a client ends well"), Some(0x8B));
    }
}

#[test]
fn a_second_signal_ends_the_broker_at_once() {
    let mut broker = Setup::new().start();
    // They never close their half, so that the broker waits for them.
    let idle: Vec<Client> = (0..10).map(|number| Client::connect(&broker, V5, &format!("idle-{number}"))).collect();
    broker.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!broker.has_ended(), "it gives clients time to close");
    let asked = Instant::now();
    broker.signal(libc::SIGTERM);
    let status = broker.wait();
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    drop(idle);
}
