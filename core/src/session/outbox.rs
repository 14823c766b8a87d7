//! Outbox: messages that wait for a slow or absent client, bounded in number and bytes.

use std::collections::VecDeque;

use super::{Admit, ByQoS, Dropped, Grant, QueueLimits};
use crate::message::Message;

/// One delivery that waits or may have to be sent again.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The message.
    pub message: Message,
    /// How it goes out.
    pub grant: Grant,
}

impl Queued {
    pub(super) fn bytes(&self) -> u64 {
        (self.message.bytes() + std::mem::size_of::<Self>()) as u64
    }
}

/// The queue of one session.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Queued>,
    bytes: u64,
}

impl Outbox {
    /// Appends a delivery, or applies the policy when it is full; `gone` gets the older ones that are dropped for it.
    pub fn push(&mut self, queued: Queued, limits: &QueueLimits, mut gone: impl FnMut(Queued)) -> Admit {
        let bytes = queued.bytes();
        let mut dropped = ByQoS::default();
        if bytes > limits.bytes || limits.messages == 0 {
            return Admit::Dropped(Dropped::QueueFull);
        }
        while self.queue.len() >= limits.messages as usize || self.bytes + bytes > limits.bytes {
            let oldest = if limits.drop_oldest { self.pop() } else { None };
            let Some(oldest) = oldest else { return Admit::Dropped(Dropped::QueueFull) };
            dropped[oldest.grant.qos as usize] += 1;
            gone(oldest);
        }
        self.bytes += bytes;
        self.queue.push_back(queued);
        Admit::Queued { dropped }
    }

    /// The oldest delivery.
    #[must_use]
    pub fn front(&self) -> Option<&Queued> {
        self.queue.front()
    }

    /// Takes the oldest delivery.
    pub fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.bytes -= queued.bytes();
        Some(queued)
    }

    /// Takes some of the deliveries out, oldest first.
    pub fn extract(&mut self, take: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        if !self.queue.iter().any(&take) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for queued in std::mem::take(&mut self.queue) {
            if take(&queued) {
                taken.push(queued);
            } else {
                self.queue.push_back(queued);
            }
        }
        self.bytes -= taken.iter().map(Queued::bytes).sum::<u64>();
        taken
    }

    /// Deliveries that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn into_all(self) -> Vec<Queued> {
        self.queue.into()
    }
}
