//! The program around the protocol: start, stop, listeners, the first rule, system and delayed topics.

use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup, fresh_dir};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, build, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

#[test]
fn sigterm_says_goodbye_and_ends_well() {
    let broker = Broker::start();
    let mut clients: Vec<Client> =
        VERSIONS.into_iter().map(|version| Client::connect(&broker, version, &unique("sigterm", version))).collect();
    let begun = Instant::now();
    let status = broker.stop();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    for client in &mut clients {
        client.expect_disconnect(0x8B);
    }
}

#[test]
fn a_taken_port_is_named_and_the_first_broker_is_unharmed() {
    let mut first = Broker::start();
    let port = first.address().port();
    let dir = fresh_dir("second");
    let output = std::process::Command::new(millrace_tests::broker::program())
        .arg("run")
        .args(["--set", &format!("listeners.default.port={port}")])
        .args(["--set", &format!("data_dir={}", dir.display())])
        .current_dir(&dir)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let _ = std::fs::remove_dir_all(&dir);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&port.to_string()), "{said}");
    Client::connect(&first, V5, "first").ping();
    first.assert_alive();
}

#[test]
fn nothing_is_written_outside_data_dir() {
    let outside = fresh_dir("outside");
    let data = outside.join("data");
    std::fs::create_dir_all(&data).expect("a folder can be made");
    let broker = Setup::new().data_dir(&data).start();
    let mut client = Client::connect(&broker, V311, "outside");
    client.publish(Publish::new("demo/a", r#"{"t":21.5}"#).qos(1, 0));
    assert!(broker.stop().success());
    let names: Vec<_> = std::fs::read_dir(&outside)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    let _ = std::fs::remove_dir_all(&outside);
    assert_eq!(names, ["data"]);
}

#[test]
fn a_row_of_the_first_rule_is_stored_within_a_second() {
    let broker = Broker::start();
    let mut client = Client::connect(&broker, V311, "row");
    client.publish(Publish::new("demo/cold", r#"{"t":-3}"#).qos(1, 0));
    client.publish(Publish::new("demo/warm", r#"{"t":21.5}"#).qos(1, 0));
    client.publish(Publish::new("demo/odd", "not JSON").qos(1, 0));
    let file = broker.data_dir().join("demo.sqlite");
    let begun = Instant::now();
    loop {
        let rows = rows_of(&file);
        if !rows.is_empty() {
            assert_eq!(rows, [("row".to_owned(), "demo/warm".to_owned(), 21.5)]);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "no row in {}", file.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn rows_of(file: &std::path::Path) -> Vec<(String, String, f64)> {
    let Ok(connection) = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY) else {
        return Vec::new();
    };
    let Ok(mut statement) = connection.prepare("SELECT clientid, topic, t FROM demo") else {
        return Vec::new();
    };
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("the table has these columns")
        .map(|row| row.expect("a row"))
        .collect()
}

#[test]
fn sys_topics_are_published_to_those_who_ask() {
    let broker = Setup::new().set("sys.interval=1s").start();
    let mut asked = Client::connect(&broker, V5, "sys-asked");
    assert_eq!(asked.subscribe("$SYS/#", 0), 0);
    let mut everything = Client::connect(&broker, V5, "sys-everything");
    everything.subscribe("#", 0);
    let delivery = asked.expect_publish();
    assert!(delivery.topic.starts_with("$SYS/"), "{}", delivery.topic);
    everything.expect_nothing();
}

#[test]
fn a_delayed_message_comes_when_it_is_due() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("delayed", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&format!("{id}/#"), 1);
        let begun = Instant::now();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&format!("$delayed/1/{id}/late"), "late").qos(1, 0));
        publisher.publish(Publish::new(&format!("{id}/now"), "now").qos(1, 0));
        let now = client.expect_payload("now");
        client.acknowledge(&now);
        let late = client.expect_payload("late");
        assert_eq!(late.topic, format!("{id}/late"));
        let waited = begun.elapsed();
        assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(4), "{waited:?}");
        client.acknowledge(&late);
    }
}

#[test]
fn the_proxy_protocol_is_read_and_required() {
    let broker = Setup::new().set("listeners.default.proxy_protocol=true").start();
    let connect = Connect::new(V311, "proxied").bytes();
    let v1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 1883\r\n".to_vec();
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([192, 0, 2, 7, 127, 0, 0, 1, 0xC3, 0x50, 0x07, 0x5B]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    for header in [v1, unknown, v2, local] {
        // Together with CONNECT, and byte by byte.
        for step in [usize::MAX, 1] {
            let mut client = Client::open(&broker, V311);
            let bytes = [&header[..], &connect].concat();
            for piece in bytes.chunks(step.min(bytes.len())) {
                client.send(piece);
            }
            assert_eq!(client.receive().connack(V311).code, 0, "{header:?}");
            client.leave();
        }
    }
    for header in [&b""[..], b"PROXY TCP4 1.2.3.4\r\n", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c"] {
        let mut client = Client::open(&broker, V311);
        client.send_perhaps(&[header, &connect, &[0; 32]].concat());
        assert_ne!(client.expect_end(), Some(0), "{header:?}");
    }
}

#[test]
fn a_mountpoint_is_never_seen_by_its_clients() {
    let broker = Setup::new().set("listeners.default.mountpoint=tenant/").start();
    let mut client = Client::connect(&broker, V5, "mounted");
    client.subscribe("#", 0);
    client.subscribe("$share/g/shared", 0);
    client.publish(Publish::new("a/b", "plain").retain());
    assert_eq!(client.expect_payload("plain").topic, "a/b");
    client.publish(Publish::new("shared", "shared"));
    for _ in 0..2 {
        assert_eq!(client.expect_payload("shared").topic, "shared");
    }
    let mut later = Client::connect(&broker, V5, "mounted-later");
    later.subscribe("a/+", 0);
    assert_eq!(later.expect_payload("plain").topic, "a/b");
}

#[test]
fn ipv6_is_served() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this host has no IPv6 loopback");
        return;
    }
    let broker = Setup::new().set("listeners.default.address=::1").start();
    assert!(broker.address().is_ipv6());
    Client::connect(&broker, V5, "ipv6").ping();
}

#[test]
fn one_shard_and_many_shards_serve_alike() {
    for shards in [1, 8] {
        let broker = Setup::new().set(&format!("shards={shards}")).start();
        let mut subscribers: Vec<Client> = (0..16)
            .map(|number| {
                let mut client = Client::connect(&broker, VERSIONS[number % 3], &format!("s{number}"));
                client.subscribe("shards/+", 1);
                client
            })
            .collect();
        for number in 0..16 {
            let mut publisher = Client::connect(&broker, V5, &format!("p{number}"));
            publisher.publish(Publish::new(&format!("shards/{number}"), number.to_string()).qos(1, 0));
        }
        for subscriber in &mut subscribers {
            let mut got: Vec<u32> = (0..16)
                .map(|_| {
                    let delivery = subscriber.expect_publish();
                    subscriber.acknowledge(&delivery);
                    delivery.text().parse().expect("a number")
                })
                .collect();
            got.sort_unstable();
            assert_eq!(got, (0..16).collect::<Vec<_>>());
        }
        assert!(broker.stop().success());
    }
}

#[test]
fn a_reset_at_every_point_of_a_session_leaves_the_broker_whole() {
    let mut broker = Broker::start();
    let mut script = Connect::new(V5, "reset").resume().bytes();
    script.extend(build::subscribe(V5, 1, &[], &[("reset/#", 2)]));
    script.extend(Publish::new("reset/a", "x").qos(2, 2).bytes(V5));
    script.extend(build::ack(0x62, 2));
    script.extend(build::unsubscribe(V5, 3, &["reset/#"]));
    script.extend(build::disconnect());
    for end in 0..=script.len() {
        let mut client = Client::open(&broker, V5);
        client.send_perhaps(&script[..end]);
        client.reset();
    }
    let (mut client, _) = Client::connect_with(&broker, &Connect::new(V5, "after-reset"));
    // Messages of the connections that broke may still be on their way; this topic is nobody else's.
    client.subscribe("reset-after/#", 0);
    client.publish(Publish::new("reset-after/b", "alive"));
    client.expect_payload("alive");
    broker.assert_alive();
}
