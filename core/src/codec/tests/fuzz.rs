//! Any bytes: no panic, no packet that cannot be written and read again.

use super::golden::golden;
use super::*;
use crate::codec::properties::{Properties, Property, TABLE};
use crate::codec::publish::forwardable;

/// What must hold for any bytes that a peer may send.
pub(crate) fn fuzz_decode(bytes: &[u8]) {
    judge_header(bytes);
    for version in VERSIONS {
        for direction in DIRECTIONS {
            match decode(version, direction, bytes) {
                Ok(packet) => judge_packet(version, direction, &packet),
                Err(error) => judge_error(&error),
            }
        }
    }
    judge_properties(Properties::from_checked(bytes));
}

/// Whatever the split, the header says nothing, or what it says of the whole.
fn judge_header(bytes: &[u8]) {
    let whole = FixedHeader::parse(bytes);
    for end in 0..bytes.len().min(8) {
        match FixedHeader::parse(&bytes[..end]) {
            Ok(None) => (),
            part => assert_eq!(part, whole),
        }
    }
}

fn judge_packet(version: ProtocolVersion, direction: Direction, packet: &Packet<'_>) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let again = encoded(version, packet);
    assert_eq!(decode(version, direction, &again).as_ref(), Ok(packet));
    if let Packet::Publish(publish) = packet {
        let mut scratch = Vec::new();
        let kept = forwardable(publish.properties, &mut scratch);
        assert!(
            Properties::check(kept, crate::codec::properties::Carrier::Publish).is_ok(),
            "what travels on is legal for a PUBLISH of anyone"
        );
    }
}

fn judge_error(error: &DecodeError) {
    assert!(error.reason_code().is_error());
    let message = error.to_string();
    assert!(error.statement().is_none_or(|number| message.contains(number)));
}

/// Reading properties that nobody has checked ends early, and does nothing worse.
fn judge_properties(properties: Properties<'_>) {
    let met = properties.iter().count();
    assert!(met <= properties.raw().len() / 2 + 1);
    for entry in TABLE {
        let _ = properties.get(entry.property);
    }
    let _ = properties.u32(Property::MessageExpiryInterval);
    let _ = forwardable(properties, &mut Vec::new());
}

/// SplitMix64: a seed is a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Bytes that mean something somewhere, more often than any others.
    fn byte(&mut self) -> u8 {
        const TELLING: &[u8] = b"\x00\x01\x02\x03\x04\x05\x0b\x11\x15\x1f\x23\x26\x7f\x80\x81\xff+#$/";
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => self.next() as u8,
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let len = random.below(40);
        let body: Vec<u8> = (0..len).map(|_| random.byte()).collect();
        fuzz_decode(&body);
        fuzz_decode(&framed(random.next() as u8, &body));
    }
}

#[test]
fn damaged_packets_do_no_harm() {
    let mut random = Random(2);
    let golden = golden();
    for _ in 0..40_000 {
        let (_, _, bytes, _) = &golden[random.below(golden.len())];
        let mut content = body(bytes).to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(content.len() + 1);
            match random.below(3) {
                0 => content.insert(at, random.byte()),
                1 if at < content.len() => drop(content.remove(at)),
                _ if at < content.len() => content[at] = random.byte(),
                _ => (),
            }
        }
        let flip = if random.below(4) == 0 { random.byte() } else { 0 };
        fuzz_decode(&framed(bytes[0] ^ flip, &content));
    }
}

#[test]
fn golden_packets_pass_the_same_judges() {
    for (_, _, bytes, _) in golden() {
        fuzz_decode(bytes);
    }
}
