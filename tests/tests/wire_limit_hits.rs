//! Every limit that is met is counted under its own name, and what is over a limit is answered as well as it can be.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Publish, Version, Will, build, property};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// A limit, the settings that make it low, and how a client meets it.
type Case = (&'static str, &'static [&'static str], fn(&Broker));

const CASES: &[Case] = &[
    ("connections", &["listeners.default.max_connections=2", "shards=1"], |broker| {
        let _one = Client::connect(broker, V5, "one");
        assert_eq!(Client::refused(broker, V5, &Connect::new(V5, "two").bytes()), Some(0x89));
    }),
    ("connect_rate", &["listeners.default.max_connect_rate=2", "shards=1"], |broker| {
        for number in 0..10 {
            let _ = Client::try_connect(broker, &Connect::new(V5, &format!("rate-{number}")));
        }
    }),
    ("connect_timeout", &["limits.connect_timeout=200ms"], |broker| {
        Client::open(broker, V311).expect_end();
    }),
    ("packet_bytes", &["mqtt.max_packet_size=1KiB"], |broker| {
        let mut client = Client::connect(broker, V5, "large");
        client.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        client.expect_disconnect(0x95);
    }),
    ("connect_packet_bytes", &["limits.connect_bytes=4KiB"], |broker| {
        let mut client = Client::open(broker, V311);
        client.send(&[0x10, 0x80, 0x80, 0x80, 0x70]);
        client.expect_end();
    }),
    ("topic_levels", &["mqtt.max_topic_levels=8"], |broker| {
        let mut client = Client::connect(broker, V5, "deep");
        assert_eq!(client.publish(Publish::new("1/2/3/4/5/6/7/8/9", "x").qos(1, 0)), 0x90);
    }),
    ("topic_levels", &["mqtt.max_topic_levels=8"], |broker| {
        let mut client = Client::connect(broker, V5, "deep-filter");
        assert_eq!(client.subscribe("1/2/3/4/5/6/7/8/+", 0), 0x8F);
    }),
    ("topic_bytes", &["mqtt.max_topic_length=100"], |broker| {
        let mut client = Client::connect(broker, V5, "long");
        assert_eq!(client.publish(Publish::new(&"a".repeat(101), "x").qos(1, 0)), 0x90);
    }),
    ("topic_bytes", &["mqtt.max_topic_length=100"], |broker| {
        let mut client = Client::connect(broker, V5, "long-filter");
        assert_eq!(client.subscribe(&"a".repeat(101), 0), 0x8F);
    }),
    ("queued_messages", &["sessions.queue_messages=3"], |broker| fill_queue(broker, 10, 5)),
    ("queued_messages", &["sessions.queue_messages=3", "sessions.queue_full=drop_newest"], |broker| {
        fill_queue(broker, 10, 5);
    }),
    ("queued_bytes", &["sessions.queue_bytes=4KiB"], |broker| fill_queue(broker, 1000, 10)),
    ("queued_bytes", &["sessions.queue_bytes=4KiB", "sessions.queue_full=drop_newest"], |broker| {
        fill_queue(broker, 1000, 10);
    }),
    ("inflight", &["mqtt.receive_maximum=1"], |broker| {
        let mut client = Client::connect(broker, V5, "window");
        for id in 1..=2 {
            client.send(&Publish::new("window", "x").qos(2, id).bytes(V5));
        }
        while client.receive_or_close().is_some() {}
    }),
    ("message_rate", &["limits.publish_rate=5"], |broker| {
        let mut client = Client::connect(broker, V311, "rate");
        client.send(&Publish::new("rate", "x").bytes(V311).repeat(20));
        client.ping();
    }),
    ("byte_rate", &["limits.byte_rate=1KiB"], |broker| {
        let mut client = Client::connect(broker, V311, "bytes");
        client.send(&Publish::new("bytes", vec![b'x'; 4000]).bytes(V311));
        client.ping();
    }),
    ("subscriptions", &["sessions.max_subscriptions=1"], |broker| {
        let mut client = Client::connect(broker, V5, "greedy");
        assert_eq!(client.subscribe("a", 0), 0);
        assert_eq!(client.subscribe("b", 0), 0x97);
    }),
    ("delayed_messages", &["limits.max_delayed=1"], |broker| {
        let mut client = Client::connect(broker, V5, "late");
        client.publish(Publish::new("$delayed/100/a", "x").qos(1, 0));
        assert_eq!(client.publish(Publish::new("$delayed/100/a", "x").qos(1, 0)), 0x97);
    }),
];

/// Messages for a session that is away.
fn fill_queue(broker: &Broker, bytes: usize, messages: usize) {
    let mut away = Client::connect_with(broker, &Connect::new(V5, "away").resume()).0;
    away.subscribe("away", 1);
    away.vanish();
    let mut publisher = Client::connect(broker, V5, "publisher");
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..messages {
        publisher.publish(Publish::new("away", vec![b'x'; bytes]).qos(1, 0));
    }
}

#[test]
fn every_limit_that_is_met_is_counted_by_its_name() {
    for cases in CASES.chunks(6) {
        std::thread::scope(|scope| {
            for (limit, settings, meet) in cases {
                scope.spawn(move || {
                    let setup = settings.iter().fold(Setup::new().set("sys.interval=1s"), |setup, set| setup.set(set));
                    let broker = setup.start();
                    let mut watcher = Client::connect(&broker, V5, "watcher");
                    watcher.subscribe(&format!("$SYS/brokers/+/metrics/limit_hits_{limit}"), 0);
                    meet(&broker);
                    let until = Instant::now() + Duration::from_secs(15);
                    while watcher.expect_publish().text() == "0" {
                        assert!(Instant::now() < until, "nobody counted {limit} with {settings:?}");
                    }
                });
            }
        });
    }
}

#[test]
fn what_is_under_way_counts_against_the_bytes_of_the_queue() {
    let broker = Setup::new().set("sessions.queue_bytes=64KiB").start();
    let mut stuck = Client::connect_with(&broker, &Connect::new(V5, "stuck").resume()).0;
    stuck.subscribe("stuck", 1);
    let mut publisher = Client::connect(&broker, V5, "publisher");
    for number in 0..100_u8 {
        publisher.publish(Publish::new("stuck", vec![number; 8 << 10]).qos(1, 0));
    }
    // Those that were sent, none of them acknowledged, and the newest behind them; never more than the queue's bytes.
    let mut numbers = Vec::new();
    while let Some(packet) = stuck.receive_within(Duration::from_millis(500)) {
        numbers.push(packet.publish(V5).payload[0]);
    }
    assert!((5..=8).contains(&numbers.len()), "{numbers:?}");
    stuck.vanish();
    let mut back = Client::connect_with(&broker, &Connect::new(V5, "stuck").resume()).0;
    let mut kept = 0;
    while let Some(packet) = back.receive_within(Duration::from_millis(500)) {
        assert_eq!(packet.kind(), 3);
        kept += 1;
    }
    assert!((5..=8).contains(&kept), "{kept} messages of 8 KiB are kept in 64 KiB");
}

#[test]
fn silent_sockets_over_max_connections_are_closed_when_they_are_accepted() {
    let broker = Setup::new().set("listeners.default.max_connections=2").set("shards=1").start();
    let sockets: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(broker.address()).expect("the kernel accepts")).collect();
    for socket in &sockets {
        socket.set_nonblocking(true).expect("a socket can be told not to wait");
    }
    let closed_after = |wait: Duration| {
        std::thread::sleep(wait);
        let is_closed = |mut socket: &TcpStream| match socket.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        sockets.iter().filter(|socket| is_closed(socket)).count()
    };
    // Two have their place, some more are given a moment to say who they are.
    let at_once = closed_after(Duration::from_millis(500));
    assert!((30..=34).contains(&at_once), "{at_once} of 100 closed at once");
    let refused = Client::refused(&broker, V5, &Connect::new(V5, "named").bytes());
    assert!(matches!(refused, Some(0x89) | None), "{refused:?}");
    let later = closed_after(Duration::from_millis(1500));
    assert_eq!(later, 98, "all but two are closed after a moment");
    assert_eq!(Client::refused(&broker, V5, &Connect::new(V5, "named").bytes()), Some(0x89));
}

#[test]
fn a_will_for_later_is_judged_like_a_delayed_publish() {
    let broker = Broker::shared();
    for (topic, code) in [
        ("$delayed/10/will", 0),
        ("$delayed/soon/will", 0x90),
        ("$delayed/99999999999/will", 0x90),
        ("$delayed/10", 0x90),
        ("$delayed/10/", 0x90),
        ("$delayed/10/$delayed/10/will", 0x90),
        ("$delayed/10/wi+l", 0x90),
        ("$SYS/will", 0x87),
    ] {
        let connect = Connect::new(V5, "will-for-later").will(Will::new(topic, "x"));
        let (mut client, answer) = Client::try_connect(broker, &connect);
        assert_eq!(answer.code, code, "{topic}");
        if code == 0 {
            client.ping();
            client.leave();
        }
    }
}

#[test]
fn a_refusal_keeps_to_the_clients_maximum_packet_size() {
    let broker = Broker::shared();
    let refused = |most: u32| {
        let connect = Connect::new(V5, &"a".repeat(300)).property(property::four(0x27, most));
        let mut stream = TcpStream::connect(broker.address()).expect("it listens");
        stream.write_all(&connect.bytes()).expect("it takes a CONNECT");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    let with_reason = refused(1000);
    assert!(with_reason.len() > 40 && with_reason[3] == 0x85, "{with_reason:?}");
    for most in [5, 6, 10, 40] {
        assert_eq!(refused(most), [0x20, 3, 0, 0x85, 0], "with {most} bytes");
    }
    assert_eq!(refused(4), [], "no CONNACK is so small");
}

#[test]
fn another_keep_alive_holds_only_where_the_client_is_told() {
    let broker = Setup::new().set("mqtt.max_keep_alive=1").start();
    let mut told = Client::connect_with(&broker, &Connect::new(V5, "told").keep_alive(60)).0;
    let mut untold: Vec<Client> = [0, 60]
        .map(|asked| Client::connect_with(&broker, &Connect::new(V311, &format!("untold-{asked}")).keep_alive(asked)).0)
        .into();
    told.expect_disconnect(0x8D);
    std::thread::sleep(Duration::from_secs(2));
    for client in &mut untold {
        client.ping();
    }
}

#[test]
fn disconnect_may_change_the_expiry_that_connect_asked_for_whatever_was_granted() {
    let broker = Setup::new().set("sessions.max_expiry=0s").start();
    let asked = Connect::new(V5, "asked").property(property::four(0x11, 100));
    let mut client = Client::connect_with(&broker, &asked).0;
    client.send(&build::disconnect_with(0, &property::four(0x11, 50)));
    client.expect_close();
    let mut client = Client::connect(&broker, V5, "asked-none");
    client.send(&build::disconnect_with(0, &property::four(0x11, 50)));
    client.expect_disconnect(0x82);
}

#[test]
fn a_client_that_lags_behind_gets_its_goodbye_when_it_reads_on() {
    let broker = Setup::new().start();
    let mut lagging = Client::connect(&broker, V5, "lagging");
    lagging.subscribe("lagging", 0);
    let mut publisher = Client::connect(&broker, V5, "publisher");
    for _ in 0..1500 {
        publisher.publish(Publish::new("lagging", vec![b'x'; 16 << 10]).qos(1, 0));
    }
    broker.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    let told = loop {
        match lagging.receive_or_close() {
            Some(packet) if packet.kind() == 14 => break Some(packet.disconnect().0),
            Some(_) => {}
            None => break None,
        }
    };
    assert_eq!(told, Some(0x8B));
}
