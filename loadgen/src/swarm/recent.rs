//! What the bytes of one receive have brought, added up before it is counted: messages that left together come
//! together, with the same latency and from the same publisher.
//!
//! Invariants: nothing waits here when the receive has been dealt with (`settle_recent`), so whoever reads counts reads all.

use std::sync::atomic::Ordering;

use hdrhistogram::Histogram;

use super::Swarm;
use crate::plan::Audience;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Recent {
    delivery: Run,
    delivery_sent: Run,
    ack: Run,
    /// A publisher and how many of its messages were delivered.
    delivered: (u32, u64),
}

/// Equal values one after another.
#[derive(Default)]
struct Run {
    value: u64,
    times: u64,
}

impl Run {
    #[inline]
    fn add(&mut self, value: u64, times: u64, histogram: &mut Histogram<u64>) {
        if value != self.value {
            self.settle(histogram);
            self.value = value;
        }
        self.times += times;
    }

    fn settle(&mut self, histogram: &mut Histogram<u64>) {
        if self.times > 0 {
            histogram.saturating_record_n(self.value, self.times);
            self.times = 0;
        }
    }
}

impl Swarm {
    #[inline]
    pub(super) fn delivery_took(&mut self, latency: u64, times: u64) {
        self.recent.delivery.add(latency, times, &mut self.stats.latencies.delivery);
    }

    #[inline]
    pub(super) fn delivery_took_from_sent(&mut self, latency: u64, times: u64) {
        self.recent.delivery_sent.add(latency, times, &mut self.stats.latencies.delivery_sent);
    }

    #[inline]
    pub(super) fn ack_took(&mut self, latency: u64) {
        self.recent.ack.add(latency, 1, &mut self.stats.latencies.ack);
    }

    /// Messages of this publisher have come: perhaps it has room again.
    #[inline]
    pub(super) fn count_delivered(&mut self, publisher: u32, count: u64) {
        if self.recent.delivered.0 != publisher {
            self.settle_delivered();
            self.recent.delivered.0 = publisher;
        }
        self.recent.delivered.1 += count;
    }

    fn settle_delivered(&mut self) {
        let (publisher, number) = self.recent.delivered;
        self.recent.delivered.1 = 0;
        let Some(count) = self.delivered.get(publisher as usize).filter(|_| number > 0) else { return };
        count.fetch_add(number, Ordering::Relaxed);
        if self.plan.audience == Audience::Partner
            && let Some(slot) = self.slot_of_publisher(publisher)
        {
            self.look_at(slot);
        }
    }

    /// Counts what has waited here.
    pub(super) fn settle_recent(&mut self) {
        self.settle_delivered();
        let latencies = &mut self.stats.latencies;
        self.recent.delivery.settle(&mut latencies.delivery);
        self.recent.delivery_sent.settle(&mut latencies.delivery_sent);
        self.recent.ack.settle(&mut latencies.ack);
    }
}
