//! A client that sends what no client library would: bytes in, bytes expected, each wait with a limit.

pub mod build;
pub mod parse;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub use build::{Connect, Publish, VERSIONS, Version, Will, ack, ack_with, first, property};
pub use parse::{Ack, ConnAck, Delivery, Properties, Received, Value};

use crate::broker::Broker;
use crate::process;

/// How long something that must come may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long to watch for something that must not come.
pub const SILENCE: Duration = Duration::from_millis(250);

/// A name for topics and client ids that one test uses in one version.
#[must_use]
pub fn unique(test: &str, version: Version) -> String {
    format!("{test}-{version:?}")
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    version: Version,
    buffer: Vec<u8>,
    next_id: u16,
    pubrels_owed: u32,
    /// Came before the SUBACK that was waited for.
    early: VecDeque<Received>,
}

/// What a wait ended with.
enum Arrival {
    Packet(Received),
    Closed,
    Nothing,
}

impl Client {
    /// A connection on which nothing has been said.
    #[must_use]
    pub fn open(broker: &Broker, version: Version) -> Self {
        Self::open_at(broker.address(), version)
    }

    /// The same, by address.
    #[must_use]
    pub fn open_at(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the broker listens");
        stream.set_nodelay(true).expect("a socket takes options");
        Self { stream, version, buffer: Vec::new(), next_id: 0, pubrels_owed: 0, early: VecDeque::new() }
    }

    /// Sends CONNECT and gives back what CONNACK says.
    #[must_use]
    pub fn try_connect(broker: &Broker, connect: &Connect) -> (Self, ConnAck) {
        let mut client = Self::open(broker, connect.version);
        client.send(&connect.bytes());
        let answer = client.receive().connack(connect.version);
        (client, answer)
    }

    /// Connects; the broker must accept.
    #[must_use]
    pub fn connect_with(broker: &Broker, connect: &Connect) -> (Self, ConnAck) {
        let (client, answer) = Self::try_connect(broker, connect);
        assert_eq!(answer.code, 0, "the broker refuses {connect:?}: {answer:?}");
        (client, answer)
    }

    /// Sends a CONNECT that the broker must refuse; gives back the code of the CONNACK, if it sends one.
    #[track_caller]
    pub fn refused(broker: &Broker, version: Version, connect: &[u8]) -> Option<u8> {
        let mut client = Self::open(broker, version);
        client.send(connect);
        // One CONNACK at most, and no DISCONNECT where there was no connection.
        let packet = client.receive_or_close()?;
        assert_eq!(packet.first, 0x20, "{packet:02x?} comes instead of CONNACK");
        assert_ne!(packet.body[1], 0, "the broker accepts {connect:02x?}");
        assert_eq!(packet.body[0], 0, "a refusal with Session Present");
        client.expect_close();
        Some(packet.body[1])
    }

    /// Connects with a clean session; the broker must accept.
    #[must_use]
    pub fn connect(broker: &Broker, version: Version, client_id: &str) -> Self {
        Self::connect_with(broker, &Connect::new(version, client_id)).0
    }

    /// The protocol level of this connection.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The socket, for tests that need its options.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// A Packet Identifier that this connection has not used.
    pub const fn fresh_id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker takes the bytes");
    }

    /// Sends bytes to a broker that may have closed already.
    pub fn send_perhaps(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn arrival(&mut self, limit: Duration) -> Arrival {
        if let Some(packet) = self.early.pop_front() {
            return Arrival::Packet(packet);
        }
        let until = Instant::now() + limit;
        loop {
            if let Some(packet) = self.take_packet() {
                if packet.first == first::PUBREL && self.pubrels_owed > 0 {
                    self.pubrels_owed -= 1;
                    continue;
                }
                return Arrival::Packet(packet);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Arrival::Nothing;
            }
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a socket takes a time limit");
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Arrival::Closed,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Arrival::Closed,
                },
            }
        }
    }

    /// The next whole packet in the buffer.
    fn take_packet(&mut self) -> Option<Received> {
        let mut length = 0;
        let mut at = 1;
        loop {
            let byte = *self.buffer.get(at)?;
            length |= usize::from(byte & 0x7F) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
            assert!(at < 5, "a Remaining Length of more than four bytes came");
        }
        if self.buffer.len() < at + length {
            return None;
        }
        let body = self.buffer[at..at + length].to_vec();
        let first = self.buffer[0];
        self.buffer.drain(..at + length);
        Some(Received { first, body })
    }

    /// The next packet.
    #[track_caller]
    pub fn receive(&mut self) -> Received {
        match self.arrival(PATIENCE) {
            Arrival::Packet(packet) => packet,
            Arrival::Closed => panic!("the broker closed the connection"),
            Arrival::Nothing => panic!("nothing came within {PATIENCE:?}"),
        }
    }

    /// The next packet, or none when the broker closes instead.
    #[track_caller]
    pub fn receive_or_close(&mut self) -> Option<Received> {
        match self.arrival(PATIENCE) {
            Arrival::Packet(packet) => Some(packet),
            Arrival::Closed => None,
            Arrival::Nothing => panic!("nothing came within {PATIENCE:?}"),
        }
    }

    /// The next packet if one comes within `limit`.
    #[track_caller]
    pub fn receive_within(&mut self, limit: Duration) -> Option<Received> {
        match self.arrival(limit) {
            Arrival::Packet(packet) => Some(packet),
            Arrival::Closed => panic!("the broker closed the connection"),
            Arrival::Nothing => None,
        }
    }

    /// The next packet, which must be exactly these bytes behind its Remaining Length.
    #[track_caller]
    pub fn expect(&mut self, first: u8, body: &[u8]) {
        let packet = self.receive();
        assert_eq!((packet.first, packet.body.as_slice()), (first, body), "another packet came");
    }

    /// The next packet, which must be a PUBLISH.
    #[track_caller]
    pub fn expect_publish(&mut self) -> Delivery {
        self.receive().publish(self.version)
    }

    /// The next packet, which must be a PUBLISH with this payload.
    #[track_caller]
    pub fn expect_payload(&mut self, payload: &str) -> Delivery {
        let delivery = self.expect_publish();
        assert_eq!(delivery.text(), payload, "another message came");
        delivery
    }

    /// The next packet, which must be one of PUBACK, PUBREC, PUBREL, PUBCOMP for `id` that says success.
    #[track_caller]
    pub fn expect_ack(&mut self, first: u8, id: u16) -> Ack {
        let ack = self.receive().ack(self.version, first);
        assert_eq!(ack.id, id, "acknowledgement of another packet");
        assert!(ack.codes[0] < 0x80, "the broker refuses: {ack:?}");
        ack
    }

    /// The next packet with this first byte; what else comes is passed over.
    #[track_caller]
    pub fn expect_ack_among(&mut self, first: u8) -> Ack {
        loop {
            let packet = self.receive();
            if packet.first == first {
                return packet.ack(self.version, first);
            }
        }
    }

    /// Nothing comes, and the connection stays.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(packet) = self.receive_within(SILENCE) {
            panic!("nothing was expected, {packet:02x?} came");
        }
    }

    /// The broker closes without another packet.
    #[track_caller]
    pub fn expect_close(&mut self) {
        match self.arrival(PATIENCE) {
            Arrival::Closed => {}
            Arrival::Packet(packet) => panic!("a close was expected, {packet:02x?} came"),
            Arrival::Nothing => panic!("the broker does not close"),
        }
    }

    /// The broker closes; in version 5 it first sends DISCONNECT with this Reason Code.
    #[track_caller]
    pub fn expect_disconnect(&mut self, reason: u8) {
        if self.version == Version::V5 {
            let (code, properties) = self.receive().disconnect();
            assert_eq!(code, reason, "DISCONNECT with {code:#04x} instead of {reason:#04x}: {properties:?}");
        }
        self.expect_close();
    }

    /// The broker closes; in version 5 it first sends DISCONNECT with one of these Reason Codes.
    #[track_caller]
    pub fn expect_refusal(&mut self, reasons: &[u8]) {
        if self.version == Version::V5 {
            let (code, properties) = self.receive().disconnect();
            assert!(
                reasons.contains(&code),
                "DISCONNECT with {code:#04x} instead of one of {reasons:02x?}: {properties:?}"
            );
        }
        self.expect_close();
    }

    /// The broker closes, whatever it says before; gives back the Reason Code of a DISCONNECT or CONNACK.
    #[track_caller]
    pub fn expect_end(&mut self) -> Option<u8> {
        let until = Instant::now() + PATIENCE;
        let mut reason = None;
        loop {
            match self.arrival(until.saturating_duration_since(Instant::now())) {
                Arrival::Closed => return reason,
                Arrival::Packet(packet) => match packet.kind() {
                    14 => reason = Some(packet.disconnect().0),
                    2 => {
                        reason = packet.body.get(1).copied();
                        assert!(reason == Some(0) || packet.body[0] == 0, "an error with Session Present");
                    }
                    _ => {}
                },
                Arrival::Nothing => panic!("the broker does not close"),
            }
        }
    }

    /// Subscribes to one filter with these options and gives back the granted code.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, options: u8) -> u8 {
        let ack = self.subscribe_all(&[], &[(filter, options)]);
        assert_eq!(ack.codes.len(), 1, "one code for one filter");
        ack.codes[0]
    }

    /// Subscribes and gives back the SUBACK.
    #[track_caller]
    pub fn subscribe_all(&mut self, raw_properties: &[u8], filters: &[(&str, u8)]) -> Ack {
        let id = self.fresh_id();
        let packet = build::subscribe(self.version, id, raw_properties, filters);
        self.send(&packet);
        // What the broker says of itself may come at any moment, before the SUBACK too (section 3.8.4).
        let mut early = Vec::new();
        let packet = loop {
            let packet = self.receive();
            let is_publish = packet.first & 0xf0 == 0x30;
            if !(is_publish && packet.body.get(2..).is_some_and(|topic| topic.starts_with(b"$SYS/"))) {
                break packet;
            }
            early.push(packet);
        };
        self.early.extend(early);
        let ack = packet.suback(self.version, 0x90);
        assert_eq!(ack.id, id, "SUBACK of another packet");
        ack
    }

    /// Unsubscribes and gives back the UNSUBACK.
    #[track_caller]
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Ack {
        let id = self.fresh_id();
        self.send(&build::unsubscribe(self.version, id, filters));
        let ack = self.receive().suback(self.version, 0xB0);
        assert_eq!(ack.id, id, "UNSUBACK of another packet");
        ack
    }

    /// Sends a PUBLISH and, for QoS 1 and 2, goes through its acknowledgement; gives back its Reason Code.
    #[track_caller]
    pub fn publish(&mut self, publish: Publish) -> u8 {
        let mut publish = publish;
        if publish.qos > 0 && publish.id == 0 {
            publish.id = self.fresh_id();
        }
        self.send(&publish.bytes(self.version));
        match publish.qos {
            0 => 0,
            1 => {
                let ack = self.receive().ack(self.version, first::PUBACK);
                assert_eq!(ack.id, publish.id, "PUBACK of another packet");
                ack.codes[0]
            }
            _ => {
                let ack = self.receive().ack(self.version, first::PUBREC);
                assert_eq!(ack.id, publish.id, "PUBREC of another packet");
                if ack.codes[0] < 0x80 {
                    self.send(&build::ack(first::PUBREL, publish.id));
                    self.expect_ack(first::PUBCOMP, publish.id);
                }
                ack.codes[0]
            }
        }
    }

    /// Acknowledges a delivery all the way.
    #[track_caller]
    pub fn acknowledge(&mut self, delivery: &Delivery) {
        match delivery.qos {
            0 => {}
            1 => self.send(&build::ack(first::PUBACK, delivery.id)),
            _ => {
                self.send(&build::ack(first::PUBREC, delivery.id));
                self.expect_ack(first::PUBREL, delivery.id);
                self.send(&build::ack(first::PUBCOMP, delivery.id));
            }
        }
    }

    /// Acknowledges a delivery without waiting for the PUBREL of QoS 2, where other messages may come first; that
    /// PUBREL is passed over when it comes.
    pub fn acknowledge_among(&mut self, delivery: &Delivery) {
        match delivery.qos {
            0 => {}
            1 => self.send(&build::ack(first::PUBACK, delivery.id)),
            _ => {
                self.send(&build::ack(first::PUBREC, delivery.id));
                self.send(&build::ack(first::PUBCOMP, delivery.id));
                self.pubrels_owed += 1;
            }
        }
    }

    /// Sends PINGREQ and waits for PINGRESP, which must be the next packet.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(&build::pingreq());
        self.expect(0xD0, &[]);
    }

    /// Says DISCONNECT and waits for the close.
    #[track_caller]
    pub fn leave(mut self) {
        self.send(&build::disconnect());
        self.expect_end();
    }

    /// Closes with a reset instead of an end.
    pub fn reset(self) {
        process::reset_on_close(&self.stream).expect("a socket takes options");
    }

    /// Goes without a word: the broker hears nothing, not even of the end of the connection. Where that takes a right
    /// we do not have, the socket is given back and stays open as long as it is held.
    #[must_use]
    pub fn go_silent(self) -> Option<TcpStream> {
        process::silent_on_close(&self.stream).is_err().then_some(self.stream)
    }

    /// Closes without DISCONNECT.
    pub fn vanish(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
