//! Connections that are half open, and more of them than there are descriptors.

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS};

use super::{Gauges, V5, V311, expect_descriptors, watched};

/// Sockets of the broker's port in this state (see `include/net/tcp_states.h`), which only it can end.
fn sockets_in_state(broker: &Broker, state: &str) -> usize {
    let port = format!(":{:04X}", broker.address().port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel lists its sockets");
    table
        .lines()
        .skip(1)
        .filter(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(state)
        })
        .count()
}

const CLOSE_WAIT: &str = "08";
const ESTABLISHED: &str = "01";

#[test]
fn half_open_peers_leave_nothing_behind() {
    let broker = watched(Setup::new());
    let mut gauges = Gauges::watch(&broker);
    let start = gauges.settle();
    let descriptors = broker.descriptors();
    let established = sockets_in_state(&broker, ESTABLISHED);
    let mut publisher = Client::connect(&broker, V311, "half-publisher");
    let mut held = Vec::new();
    let mut streams = Vec::new();
    for number in 0..100 {
        let version = VERSIONS[number % 3];
        let mut client = Client::connect(&broker, version, &format!("half-{number}"));
        client.subscribe("half/open", 0);
        match number % 4 {
            // It is gone, and the first packet to it tells so.
            0 => held.extend(client.go_silent()),
            // It has shut its half and still reads.
            1 => {
                client.stream().shutdown(Shutdown::Write).expect("it is open");
                streams.push(client);
            }
            // It has shut the other half: what comes is answered with a reset.
            2 => {
                client.stream().shutdown(Shutdown::Read).expect("it is open");
                streams.push(client);
            }
            // Both ends close at the same time.
            _ => {
                client.send(&millrace_tests::wire::build::disconnect());
                client.vanish();
            }
        }
    }
    publisher.publish(Publish::new("half/open", "to all").qos(1, 0));
    for client in streams.iter().skip(1).step_by(2) {
        client.stream().shutdown(Shutdown::Both).expect("it is open");
    }
    // What we could not silence goes now.
    drop(held);
    // No FIN is left without an answer, though its socket is still open here.
    let begun = Instant::now();
    while sockets_in_state(&broker, CLOSE_WAIT) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "CLOSE_WAIT: {}", sockets_in_state(&broker, CLOSE_WAIT));
        std::thread::sleep(Duration::from_millis(50));
    }
    publisher.leave();
    gauges.expect(&start, Duration::from_secs(10));
    expect_descriptors(&broker, descriptors);
    drop(streams);
    let begun = Instant::now();
    while sockets_in_state(&broker, ESTABLISHED) != established {
        assert!(begun.elapsed() < Duration::from_secs(5), "sockets are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The return code of the CONNACK on this socket, if one comes in time.
fn answer(stream: &mut TcpStream, within: Duration) -> Option<u8> {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(within)).expect("a socket takes a time limit");
    stream.read_exact(&mut answer).ok().filter(|()| answer[0] == 0x20).map(|()| answer[3])
}

#[test]
fn without_descriptors_accepting_rests_and_all_else_goes_on() {
    use std::io::Write as _;
    const DESCRIPTORS: u32 = 96;
    let broker = Setup::new().descriptors(DESCRIPTORS).start();
    let mut lives = Client::connect(&broker, V5, "lives");
    lives.subscribe("lives", 1);
    // More than two shards can hold.
    let mut crowd: Vec<TcpStream> = (0..2 * DESCRIPTORS + 100)
        .map(|number| {
            let mut stream = TcpStream::connect(broker.address()).expect("the kernel queues it");
            stream.write_all(&Connect::new(V311, &format!("crowd-{number}")).bytes()).expect("the kernel takes it");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let answers: Vec<u8> = crowd.iter_mut().filter_map(|stream| answer(stream, Duration::from_millis(1))).collect();
    let served = answers.iter().filter(|code| **code == 0).count();
    assert!(answers.iter().all(|code| matches!(code, 0 | 3)), "served or Server unavailable: {answers:?}");
    assert!(served > 20 && served <= 2 * 96, "{served} are served");
    // Those who are here are served, and nothing spins.
    let before = broker.cpu_time();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        lives.publish(Publish::new("lives", "still").qos(0, 0));
        let delivery = lives.expect_payload("still");
        lives.acknowledge(&delivery);
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let spent = broker.cpu_time() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of a core in a second of rest");
    // When they go others come in: with epoll half of the descriptors are for connections.
    crowd.truncate(0);
    let begun = Instant::now();
    let mut late: Vec<Client> = Vec::new();
    while late.len() < 20 {
        let mut client = Client::open(&broker, V5);
        client.send(&Connect::new(V5, &format!("late-{}", late.len())).bytes());
        match client.receive().connack(V5).code {
            0 => late.push(client),
            // The crowd has not left the shard of this client yet: said by name, never a mere close.
            code => assert_eq!(code, 0x89, "only Server busy"),
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{} came in", late.len());
    }
    lives.ping();
}
