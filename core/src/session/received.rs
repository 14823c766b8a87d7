//! Received: Packet Identifiers of QoS 2 messages that were accepted and not yet released by their publisher.

use crate::packet::PacketId;

/// A small sorted set: publishers mostly count upward and release in order.
#[derive(Debug, Default)]
pub struct Received {
    ids: Vec<u16>,
}

impl Received {
    /// Notes that a message was accepted; `false` if it was noted before, so that the message must not be routed again
    /// [MQTT-4.3.3-10].
    pub fn insert(&mut self, id: PacketId) -> bool {
        let id = id.get();
        if self.ids.last().is_none_or(|last| *last < id) {
            self.ids.push(id);
            return true;
        }
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// PUBREL came; `false` if there is no such message.
    pub fn remove(&mut self, id: PacketId) -> bool {
        let Ok(at) = self.ids.binary_search(&id.get()) else { return false };
        self.ids.remove(at);
        if self.ids.is_empty() && self.ids.capacity() > 64 {
            self.ids = Vec::new();
        }
        true
    }

    /// Messages that wait for their release.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether this one waits.
    #[must_use]
    pub fn contains(&self, id: PacketId) -> bool {
        self.ids.binary_search(&id.get()).is_ok()
    }
}
