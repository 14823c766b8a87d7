//! Inflight: Packet Identifiers and the stage of each QoS 1 and 2 delivery to one client.
//!
//! Identifiers are given out in a row from 1 and mostly acknowledged in that order, so the window is a ring of
//! stages and an identifier is an index into it. A hole stays until all before it are done; a client that leaves one
//! unacknowledged cannot make the ring longer than twice its window.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::outbox::Queued;
use crate::packet::{PacketId, QoS};

/// Number of Packet Identifiers: 1 to 65,535.
const IDS: u32 = 65_535;

/// Room that stays while nothing is under way, in entries.
const STAGES_KEPT: usize = 256;
const MESSAGES_KEPT: usize = 16;

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
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it waits for.
    pub stage: Stage,
    /// The message, if it may have to be sent again.
    pub kept: Option<&'a Queued>,
}

/// The deliveries under way.
#[derive(Debug, Default)]
pub struct Inflight {
    stages: VecDeque<Stage>,
    /// What may have to be sent again, beside its stage; empty while that is nothing.
    kept: VecDeque<Option<Queued>>,
    /// Identifier of the first entry, minus 1.
    first: u16,
    /// Entries that are not done.
    open: u16,
    /// Most that may be open; 0 until a client has connected.
    limit: u16,
    /// Entries at the back that this connection has not seen yet, and how many of them are open.
    unseen: u16,
    unseen_open: u16,
    /// What `kept` holds, in units of [`GRANULE`] bytes, each message rounded up.
    granules: u32,
}

/// Unit in which the window counts the bytes of its messages.
const GRANULE: u64 = 64;

fn granules(queued: &Queued) -> u32 {
    u32::try_from(queued.bytes().div_ceil(GRANULE)).unwrap_or(u32::MAX)
}

impl Inflight {
    /// Sets the window: the lower of the client's Receive Maximum and ours.
    pub const fn set_limit(&mut self, limit: u16) {
        self.limit = limit;
    }

    /// A new connection: what is under way has to be sent again, as far as its window allows.
    pub fn resume(&mut self) {
        self.unseen = self.stages.len() as u16;
        self.unseen_open = self.open;
    }

    /// Whether some deliveries have to be sent again.
    #[must_use]
    pub const fn has_unseen(&self) -> bool {
        self.unseen_open > 0
    }

    /// The next delivery to be sent again, if the window has room for it; a PUBREL always has.
    pub fn next_unseen(&mut self) -> Option<(PacketId, Entry<'_>)> {
        loop {
            if self.unseen_open == 0 {
                return None;
            }
            let index = self.stages.len() - usize::from(self.unseen);
            let stage = self.stages[index];
            let goes_anyway = matches!(stage, Stage::Done | Stage::Pubcomp);
            if !goes_anyway && self.open - self.unseen_open >= self.limit {
                return None;
            }
            self.unseen -= 1;
            if stage != Stage::Done {
                self.saw_one();
                return Some((self.id_at(index), self.entry(index)));
            }
        }
    }

    /// One that was open is not unseen any more. After the last one what is done behind it does not count either: new
    /// deliveries go there.
    const fn saw_one(&mut self) {
        self.unseen_open -= 1;
        if self.unseen_open == 0 {
            self.unseen = 0;
        }
    }

    /// Whether another delivery may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unseen_open == 0
            && self.open < self.limit
            && self.stages.len() < 2 * usize::from(self.limit)
            && self.stages.len() < IDS as usize
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

    /// Bytes of the messages that may have to be sent again.
    #[must_use]
    pub const fn kept_bytes(&self) -> u64 {
        self.granules as u64 * GRANULE
    }

    /// Begins a delivery of QoS 1 or 2 and names it. Only while there is room.
    pub fn begin(&mut self, qos: QoS, kept: Option<Queued>) -> PacketId {
        let stage = if qos == QoS::ExactlyOnce { Stage::Pubrec } else { Stage::Puback };
        let id = self.id_at(self.stages.len());
        self.granules = self.granules.saturating_add(kept.as_ref().map_or(0, granules));
        if kept.is_some() || !self.kept.is_empty() {
            self.kept.resize_with(self.stages.len(), || None);
            self.kept.push_back(kept);
        }
        self.stages.push_back(stage);
        self.open += 1;
        id
    }

    /// The stage of a delivery that is under way.
    #[must_use]
    pub fn stage(&self, id: PacketId) -> Option<Stage> {
        self.stages.get(self.index(id)).copied().filter(|stage| *stage != Stage::Done)
    }

    /// The message of a delivery that is under way, if it was kept.
    #[must_use]
    pub fn kept(&self, id: PacketId) -> Option<&Queued> {
        self.kept.get(self.index(id))?.as_ref()
    }

    /// PUBREC came: the message is the client's now, only the identifier is kept; returns the message if it was kept.
    pub fn release(&mut self, id: PacketId) -> Option<Queued> {
        let index = self.index(id);
        *self.stages.get_mut(index)? = Stage::Pubcomp;
        let kept = self.kept.get_mut(index)?.take();
        self.granules = self.granules.saturating_sub(kept.as_ref().map_or(0, granules));
        kept
    }

    /// The delivery is over; returns its message if it was kept.
    pub fn end(&mut self, id: PacketId) -> Option<Queued> {
        let index = self.index(id);
        let stage = self.stages.get_mut(index)?;
        if *stage == Stage::Done {
            return None;
        }
        *stage = Stage::Done;
        let kept = self.kept.get_mut(index).and_then(Option::take);
        self.granules = self.granules.saturating_sub(kept.as_ref().map_or(0, granules));
        self.open -= 1;
        if index >= self.stages.len() - usize::from(self.unseen) {
            self.saw_one();
        }
        while self.stages.front() == Some(&Stage::Done) {
            self.stages.pop_front();
            self.kept.pop_front();
            self.unseen = self.unseen.min(self.stages.len() as u16);
            self.first = ((u32::from(self.first) + 1) % IDS) as u16;
        }
        if self.stages.is_empty() && (self.stages.capacity() > STAGES_KEPT || self.kept.capacity() > MESSAGES_KEPT) {
            self.stages = VecDeque::new();
            self.kept = VecDeque::new();
        }
        kept
    }

    /// The deliveries under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, Entry<'_>)> {
        (0..self.stages.len())
            .filter(|index| self.stages[*index] != Stage::Done)
            .map(|index| (self.id_at(index), self.entry(index)))
    }

    fn entry(&self, index: usize) -> Entry<'_> {
        Entry { stage: self.stages[index], kept: self.kept.get(index).and_then(Option::as_ref) }
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
    use crate::message::{Lazy, MessageHead, MessageView};
    use crate::session::{Grant, SubscriptionIds};
    use crate::time::Millis;

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
    #[test]
    fn what_may_be_sent_again_stays_with_its_identifier() {
        let message = |text: &'static str| Queued {
            message: Lazy::new(MessageView {
                head: MessageHead { qos: QoS::AtLeastOnce, retain: false, expires_at: Millis::NEVER, publisher: 0 },
                topic: text,
                properties: &[],
                payload: &[],
            })
            .keep(),
            grant: Grant { qos: QoS::AtLeastOnce, retain: false, subscription_ids: SubscriptionIds::new(), group: 0 },
        };
        let size = message("b").bytes();
        let topic = |queued: Option<Queued>| queued.map(|queued| queued.message.view().topic.to_owned());
        let mut inflight = window(100);
        let ids: Vec<_> =
            [None, Some("b"), None, Some("d")].map(|text| inflight.begin(QoS::AtLeastOnce, text.map(message))).into();
        let kept: Vec<_> = inflight.iter().map(|(_, entry)| entry.kept.is_some()).collect();
        assert_eq!(kept, [false, true, false, true]);
        assert!((2 * size..=2 * size + 2 * GRANULE).contains(&inflight.kept_bytes()));
        assert_eq!(topic(inflight.end(ids[0])), None);
        assert_eq!(topic(inflight.end(ids[3])).as_deref(), Some("d"));
        assert_eq!(topic(inflight.release(ids[1])).as_deref(), Some("b"));
        assert_eq!(inflight.kept_bytes(), 0);
        assert_eq!(topic(inflight.end(ids[1])), None);
        assert_eq!(topic(inflight.end(ids[2])), None);
        assert!(inflight.is_empty());
    }
}
