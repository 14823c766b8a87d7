//! One client id, two connections: the newer one wins, and the session goes with it.

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, unique};

const V31: Version = Version::V31;
const V5: Version = Version::V5;

#[test]
fn the_newer_connection_wins_and_the_older_is_told() {
    let broker = Broker::shared();
    for old in VERSIONS {
        for new in VERSIONS {
            let id = format!("takeover-{old:?}-{new:?}");
            let mut first = Client::connect(broker, old, &id);
            let mut second = Client::connect(broker, new, &id);
            first.expect_disconnect(0x8E);
            second.ping();
        }
    }
}

#[test]
fn the_session_goes_to_the_newer_connection() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("takeover-session", version);
        let resume = Connect::new(version, &id).resume();
        let (mut first, _) = Client::connect_with(broker, &resume);
        first.subscribe(&id, 1);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "unacknowledged").qos(1, 0));
        let before = first.expect_payload("unacknowledged");
        let (mut second, answer) = Client::connect_with(broker, &resume);
        assert_eq!(answer.session_present, version != V31);
        first.expect_disconnect(0x8E);
        let after = second.expect_payload("unacknowledged");
        assert_eq!((after.id, after.dup), (before.id, true));
        second.acknowledge(&after);
        publisher.publish(Publish::new(&id, "live").qos(1, 0));
        let delivery = second.expect_payload("live");
        second.acknowledge(&delivery);
    }
}

#[test]
fn a_clean_start_takes_over_without_the_session() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("takeover-clean", version);
        let (mut first, _) = Client::connect_with(broker, &Connect::new(version, &id).resume());
        first.subscribe(&id, 1);
        let (mut second, answer) = Client::connect_with(broker, &Connect::new(version, &id));
        assert!(!answer.session_present);
        first.expect_disconnect(0x8E);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "not subscribed").qos(1, 0));
        second.expect_nothing();
    }
}

#[test]
fn a_storm_of_takeovers_has_one_winner() {
    const STORM: usize = 100;
    let broker = Broker::shared();
    let id = "takeover-storm";
    let resume = Connect::new(V5, id).resume();
    let (mut keeper, _) = Client::connect_with(broker, &resume);
    keeper.subscribe(id, 1);
    let threads: Vec<_> = (0..STORM)
        .map(|_| {
            let connect = resume.bytes();
            let mut client = Client::open(broker, V5);
            std::thread::spawn(move || {
                client.send(&connect);
                let packet = client.receive();
                assert_eq!(packet.first, 0x20);
                assert_eq!(packet.connack(V5).code, 0);
                client
            })
        })
        .collect();
    let clients: Vec<Client> =
        threads.into_iter().map(|thread| thread.join().expect("every client gets its CONNACK")).collect();
    let mut clients: Vec<Client> = clients.into_iter().chain([keeper]).collect();
    // All but one hear that they lost; nobody who lost gets the message.
    let mut publisher = Client::connect(broker, V5, "takeover-storm-publisher");
    publisher.publish(Publish::new(id, "for the winner").qos(1, 0));
    let (mut lost, mut won) = (0, 0);
    for client in &mut clients {
        match client.receive() {
            packet if packet.kind() == 3 => {
                assert_eq!(packet.publish(V5).text(), "for the winner");
                won += 1;
            }
            packet => {
                assert_eq!(packet.disconnect().0, 0x8E);
                client.expect_close();
                lost += 1;
            }
        }
    }
    assert_eq!((won, lost), (1, STORM));
}
