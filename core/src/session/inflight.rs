//! Inflight: Packet Identifiers and the stage of each QoS 1 and 2 delivery to one client.
//!
//! Identifiers are given out in a row from 1 and mostly acknowledged in that order, so the window is a ring of
//! entries and an identifier is an index into it. A hole stays until all before it are done; a client that leaves one
//! unacknowledged cannot make the ring longer than twice its window.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::outbox::Queued;
use crate::packet::{PacketId, QoS};

/// Number of Packet Identifiers: 1 to 65,535.
const IDS: u32 = 65_535;

/// Which acknowledgement a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// PUBACK, for QoS 1.
    Puback,
    /// PUBREC, for QoS 2.
    Pubrec,
    /// PUBCOMP, for QoS 2 once released.
    Pubcomp,
    /// Nothing: over, but an older one is not.
    Done,
}

/// One delivery under way.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it waits for.
    pub stage: Stage,
    /// The message, if it may have to be sent again.
    pub kept: Option<Box<Queued>>,
}

/// The deliveries under way.
#[derive(Debug, Default)]
pub struct Inflight {
    entries: VecDeque<Entry>,
    /// Identifier of the first entry, minus 1.
    first: u16,
    /// Entries that are not done.
    open: u16,
    /// Most that may be open; 0 until a client has connected.
    limit: u16,
    /// Entries at the back that this connection has not seen yet, and how many of them are open.
    unseen: u16,
    unseen_open: u16,
}

impl Inflight {
    /// Sets the window: the lower of the client's Receive Maximum and ours.
    pub const fn set_limit(&mut self, limit: u16) {
        self.limit = limit;
    }

    /// A new connection: what is under way has to be sent again, as far as its window allows.
    pub fn resume(&mut self) {
        self.unseen = self.entries.len() as u16;
        self.unseen_open = self.open;
    }

    /// Whether some deliveries have to be sent again.
    #[must_use]
    pub const fn has_unseen(&self) -> bool {
        self.unseen_open > 0
    }

    /// The next delivery to be sent again, if the window has room for it; a PUBREL always has.
    pub fn next_unseen(&mut self) -> Option<(PacketId, &Entry)> {
        loop {
            if self.unseen_open == 0 {
                self.unseen = 0;
                return None;
            }
            let index = self.entries.len() - usize::from(self.unseen);
            let stage = self.entries[index].stage;
            if stage != Stage::Done {
                if stage != Stage::Pubcomp && self.open - self.unseen_open >= self.limit {
                    return None;
                }
                self.unseen_open -= 1;
            }
            self.unseen -= 1;
            if stage != Stage::Done {
                return Some((self.id_at(index), &self.entries[index]));
            }
        }
    }

    /// Whether another delivery may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unseen_open == 0
            && self.open < self.limit
            && self.entries.len() < 2 * usize::from(self.limit)
            && self.entries.len() < IDS as usize
    }

    /// Deliveries under way.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.open as usize
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Begins a delivery of QoS 1 or 2 and names it. Only while there is room.
    pub fn begin(&mut self, qos: QoS, kept: Option<Box<Queued>>) -> PacketId {
        let stage = if qos == QoS::ExactlyOnce { Stage::Pubrec } else { Stage::Puback };
        let id = self.id_at(self.entries.len());
        self.entries.push_back(Entry { stage, kept });
        self.open += 1;
        id
    }

    /// The stage of a delivery that is under way.
    #[must_use]
    pub fn stage(&self, id: PacketId) -> Option<Stage> {
        self.entries.get(self.index(id)).map(|entry| entry.stage).filter(|stage| *stage != Stage::Done)
    }

    /// PUBREC came: the message is the client's now, only the identifier is kept; returns the message if it was kept.
    pub fn release(&mut self, id: PacketId) -> Option<Box<Queued>> {
        let index = self.index(id);
        let entry = self.entries.get_mut(index)?;
        entry.stage = Stage::Pubcomp;
        entry.kept.take()
    }

    /// The delivery is over; returns its message if it was kept.
    pub fn end(&mut self, id: PacketId) -> Option<Box<Queued>> {
        let index = self.index(id);
        let entry = self.entries.get_mut(index)?;
        if entry.stage == Stage::Done {
            return None;
        }
        entry.stage = Stage::Done;
        let kept = entry.kept.take();
        self.open -= 1;
        if index >= self.entries.len() - usize::from(self.unseen) {
            self.unseen_open -= 1;
        }
        while self.entries.front().is_some_and(|entry| entry.stage == Stage::Done) {
            self.entries.pop_front();
            self.unseen = self.unseen.min(self.entries.len() as u16);
            self.first = ((u32::from(self.first) + 1) % IDS) as u16;
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
        kept
    }

    /// The deliveries under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.stage != Stage::Done)
            .map(|(index, entry)| (self.id_at(index), entry))
    }

    fn id_at(&self, index: usize) -> PacketId {
        let id = (u32::from(self.first) + index as u32) % IDS + 1;
        NonZeroU16::new(id as u16).expect("one is added")
    }

    fn index(&self, id: PacketId) -> usize {
        ((u32::from(id.get()) - 1 + IDS - u32::from(self.first)) % IDS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(limit: u16) -> Inflight {
        let mut inflight = Inflight::default();
        inflight.set_limit(limit);
        inflight
    }

    #[test]
    fn identifiers_run_from_1_to_65535_and_around() {
        let mut inflight = window(10);
        for round in 0..3 {
            for id in 1..=65_535u16 {
                let begun = inflight.begin(QoS::AtLeastOnce, None);
                assert_eq!(begun.get(), id, "round {round}");
                assert_eq!(inflight.stage(begun), Some(Stage::Puback));
                inflight.end(begun);
                assert_eq!(inflight.stage(begun), None);
            }
        }
        assert!(inflight.is_empty());
    }

    #[test]
    fn one_unacknowledged_delivery_bounds_the_window() {
        let mut inflight = window(8);
        let stuck = inflight.begin(QoS::AtLeastOnce, None);
        let mut begun = 1;
        while inflight.has_room() {
            let id = inflight.begin(QoS::AtLeastOnce, None);
            inflight.end(id);
            begun += 1;
            assert!(begun <= 16, "the ring grows without a bound");
        }
        assert_eq!(inflight.len(), 1);
        inflight.end(stuck);
        assert!(inflight.has_room() && inflight.is_empty());
    }

    #[test]
    fn acknowledgements_may_come_in_any_order() {
        let mut inflight = window(100);
        let ids: Vec<_> = (0..100).map(|_| inflight.begin(QoS::ExactlyOnce, None)).collect();
        assert!(!inflight.has_room());
        for id in ids.iter().rev() {
            inflight.release(*id);
            assert_eq!(inflight.stage(*id), Some(Stage::Pubcomp));
            inflight.end(*id);
        }
        assert!(inflight.has_room() && inflight.is_empty());
        assert_eq!(inflight.begin(QoS::AtLeastOnce, None).get(), 101);
    }
}
