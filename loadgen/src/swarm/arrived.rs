//! A PUBLISH as the account needs it, and how those that begin alike are read at once.

use millrace_core::packet::{PacketId, Publish, QoS};

use crate::stamp::Stamp;

/// What is looked at of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived<'a> {
    pub(super) dup: bool,
    pub(super) qos: QoS,
    pub(super) packet_id: Option<PacketId>,
    pub(super) payload: &'a [u8],
}

/// The last PUBLISH. One that is the same up to its payload, but for the Packet Identifier, has its parts at
/// the same places, and whatever was right in the first is right in it.
pub(super) struct Pattern<'a> {
    packet: &'a [u8],
    packet_id_at: usize,
    payload_at: usize,
    first: Arrived<'a>,
}

impl<'a> Pattern<'a> {
    /// The packet is whole, with a fixed header of so many bytes.
    pub(super) fn new(packet: &'a [u8], header: usize, publish: &Publish<'a>) -> Self {
        let Publish { dup, qos, packet_id, payload, .. } = *publish;
        Self {
            packet,
            packet_id_at: header + 2 + publish.topic.len(),
            payload_at: packet.len() - payload.len(),
            first: Arrived { dup, qos, packet_id, payload },
        }
    }

    pub(super) const fn first(&self) -> Arrived<'a> {
        self.first
    }

    /// Bytes of each such packet.
    pub(super) const fn len(&self) -> usize {
        self.packet.len()
    }

    /// How many packets at the front of these bytes are the last one but for the sequence in their stamp, which counts
    /// on from this one. None of them wants an answer.
    pub(super) fn run(&self, bytes: &[u8], sequence: u64) -> usize {
        if self.first.packet_id.is_some() {
            return 0;
        }
        let (head, payload) = self.packet.split_at(self.payload_at);
        let packets = bytes.chunks_exact(self.packet.len()).map(|packet| packet.split_at(self.payload_at));
        let alike = |((other, stamp), sequence): &((&[u8], &[u8]), u64)| {
            *other == head && Stamp::is_same_but_for_sequence(payload, stamp, *sequence)
        };
        packets.zip(sequence + 1..).take_while(alike).count()
    }

    /// What stands at the front of these bytes, if it is alike and whole.
    #[inline]
    pub(super) fn read(&mut self, bytes: &'a [u8]) -> Option<Arrived<'a>> {
        let arrived = self.alike(bytes)?;
        self.packet = &bytes[..self.packet.len()];
        Some(arrived)
    }

    #[inline]
    fn alike(&self, bytes: &'a [u8]) -> Option<Arrived<'a>> {
        let packet = bytes.get(..self.packet.len())?;
        let (head, payload) = packet.split_at(self.payload_at);
        let known = &self.packet[..self.payload_at];
        if self.first.packet_id.is_none() {
            return (head == known).then_some(Arrived { payload, ..self.first });
        }
        let (at, behind) = (self.packet_id_at, self.packet_id_at + 2);
        if head[..at] != known[..at] || head[behind..] != known[behind..] {
            return None;
        }
        let packet_id = PacketId::new(u16::from_be_bytes([head[at], head[at + 1]]))?;
        Some(Arrived { packet_id: Some(packet_id), payload, ..self.first })
    }
}

#[cfg(test)]
mod tests {
    use millrace_core::codec::FixedHeader;
    use millrace_core::codec::publish::{Delivery, decode_to_client};
    use millrace_core::packet::ProtocolVersion;

    use super::*;

    fn encoded(version: ProtocolVersion, qos: QoS, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
        let packet_id = (qos != QoS::AtMostOnce).then(|| PacketId::new(id)).flatten();
        let delivery = Delivery {
            dup: false,
            qos,
            retain: false,
            packet_id,
            topic,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: &[7],
            properties: &[],
            payload,
        };
        let mut out = Vec::new();
        delivery.encode(version, &mut out);
        out
    }

    fn decoded(version: ProtocolVersion, packet: &[u8]) -> Pattern<'_> {
        let header = FixedHeader::parse(packet).expect("legal").expect("whole");
        let at = usize::from(header.header_len);
        Pattern::new(packet, at, &decode_to_client(version, header.first, &packet[at..]).expect("legal"))
    }

    #[test]
    fn what_begins_alike_is_read_as_if_it_were_decoded() {
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let one = encoded(version, qos, 3, "a/b", b"one");
                let two = encoded(version, qos, 900, "a/b", b"two");
                let wanted = decoded(version, &two).first();
                let more = [&two[..], b"more"].concat();
                let mut pattern = decoded(version, &one);
                assert_eq!(pattern.read(&more), Some(wanted));
                assert_eq!((pattern.first().payload, wanted.payload), (&b"one"[..], &b"two"[..]));
            }
        }
    }

    #[test]
    fn messages_that_count_on_are_a_run() {
        let version = ProtocolVersion::V311;
        let packet = |sequence, intended, qos, id| {
            let mut payload = [0; Stamp::BYTES + 3];
            Stamp { tag: 7, publisher: 2, sequence, intended, lag: 5 }.put(&mut payload);
            encoded(version, qos, id, "a/b", &payload)
        };
        let plain = |sequence, intended| packet(sequence, intended, QoS::AtMostOnce, 1);
        let first = plain(4, 10);
        let pattern = decoded(version, &first);
        let rest = [plain(5, 10), plain(6, 10), plain(8, 10)].concat();
        assert_eq!(pattern.run(&rest, 4), 2);
        assert_eq!(pattern.run(&rest, 5), 0);
        assert_eq!(pattern.run(&rest[..rest.len() / 3 - 1], 4), 0, "it is not whole");
        assert_eq!(pattern.run(&plain(5, 11), 4), 0, "it was sent at another time");
        let acknowledged = packet(4, 10, QoS::AtLeastOnce, 1);
        let pattern = decoded(version, &acknowledged);
        assert_eq!(pattern.run(&packet(5, 10, QoS::AtLeastOnce, 1), 4), 0, "it wants an answer");
    }

    #[test]
    fn what_differs_or_is_not_whole_is_not_read() {
        let version = ProtocolVersion::V5;
        let one = encoded(version, QoS::AtLeastOnce, 3, "a/b", b"one");
        let read = |other: &[u8]| decoded(version, &one).read(other).is_some();
        assert!(!read(&one[..one.len() - 1]));
        for other in [
            encoded(version, QoS::AtLeastOnce, 3, "a/c", b"one"),
            encoded(version, QoS::AtLeastOnce, 3, "a/b", b"ones"),
            encoded(version, QoS::ExactlyOnce, 3, "a/b", b"one"),
        ] {
            assert!(!read(&other));
        }
        // Packet Identifier 0 is an error, which decoding will tell.
        let mut zero = one.clone();
        let at = zero.windows(2).position(|bytes| bytes == [0, 3]).expect("its topic has three letters");
        let id_at = at + 2 + 3;
        zero[id_at..id_at + 2].fill(0);
        assert!(!read(&zero));
        // Another property.
        let mut property = one.clone();
        property[id_at + 2 + 2] = 8;
        assert!(!read(&property));
    }
}
