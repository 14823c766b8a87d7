//! Census: what a shard holds at this moment, counted by walking through it; for tests and diagnostics.

use super::Shard;

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections, with or without a session.
    pub connections: usize,
    /// Sessions, connected or away.
    pub sessions: usize,
    /// Deliveries that wait in queues.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Deliveries that are not acknowledged.
    pub inflight: usize,
    /// Filters with a subscriber here.
    pub filters: usize,
    /// Shared subscriptions that live here.
    pub groups: usize,
    /// Retained messages that are being fetched.
    pub feeds: usize,
    /// Replies that wait for other shards.
    pub replies: usize,
    /// Hand-overs of which one half has come.
    pub handovers: usize,
    /// Delayed messages.
    pub delayed: usize,
}

impl Census {
    /// Whether nothing is left of any client.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl Shard {
    /// Counts what is here; as slow as there is much.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            connections: self.conns.taken().count(),
            filters: self.filters.len(),
            groups: self.groups.len(),
            feeds: self.retained.feeds(),
            replies: self.replies.len(),
            handovers: self.handovers.len(),
            delayed: self.delayed.len(),
            ..Census::default()
        };
        for client in self.clients.iter() {
            census.sessions += 1;
            census.queued += client.session.queued();
            census.queued_bytes += client.session.queued_bytes();
            census.inflight += client.session.inflight.len();
        }
        census
    }
}
