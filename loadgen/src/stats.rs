//! What one worker counts and measures, and how the accounts of all workers are joined.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// The longest latency that is told apart.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// A histogram of nanoseconds with three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("these bounds are legal")
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    /// From the time a connection was due to its CONNACK.
    pub(crate) connect: Histogram<u64>,
    /// The same when it had been there before.
    pub(crate) reconnect: Histogram<u64>,
    /// From the time a message was due to its delivery; of messages that waited, from the time their receiver came.
    pub(crate) delivery: Histogram<u64>,
    /// From the time a message was handed to the kernel to its delivery.
    pub(crate) delivery_sent: Histogram<u64>,
    /// From the time a message was due to PUBACK or PUBCOMP.
    pub(crate) ack: Histogram<u64>,
    /// How much later than due we sent what could have been sent.
    pub(crate) lag: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            connect: histogram(),
            reconnect: histogram(),
            delivery: histogram(),
            delivery_sent: histogram(),
            ack: histogram(),
            lag: histogram(),
        }
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> [&Histogram<u64>; 6] {
        [&self.connect, &self.reconnect, &self.delivery, &self.delivery_sent, &self.ack, &self.lag]
    }

    pub(crate) fn all_mut(&mut self) -> [&mut Histogram<u64>; 6] {
        let Self { connect, reconnect, delivery, delivery_sent, ack, lag } = self;
        [connect, reconnect, delivery, delivery_sent, ack, lag]
    }

    /// Messages in it.
    pub(crate) fn records(&self) -> u64 {
        self.delivery.len() + self.ack.len()
    }

    pub(crate) fn join(&mut self, other: &Self) {
        let same = "all histograms have the same bounds";
        self.connect.add(&other.connect).expect(same);
        self.reconnect.add(&other.reconnect).expect(same);
        self.delivery.add(&other.delivery).expect(same);
        self.delivery_sent.add(&other.delivery_sent).expect(same);
        self.ack.add(&other.ack).expect(same);
        self.lag.add(&other.lag).expect(same);
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Plain numbers since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counts { $($(#[$doc])* pub(crate) $name: u64,)* }

        impl Counts {
            /// How many there are.
            pub(crate) const LEN: usize = [$(stringify!($name)),*].len();

            /// All of them, in order.
            pub(crate) const fn values(&self) -> [u64; Self::LEN] {
                [$(self.$name),*]
            }

            pub(crate) fn from_values(values: [u64; Self::LEN]) -> Self {
                let [$($name),*] = values;
                Self { $($name),* }
            }
        }
    };
}

counts! {
    /// Connects begun.
    begun,
    /// Connections that got as far as they were to, ever.
    ready,
    /// Connections that never got there.
    failed,
    /// Connections that were lost after they were ready.
    dropped,
    /// Connections that are ready now.
    open,
    /// Connections that were ready again after they had been away.
    returned,
    /// Connections that found their session kept.
    resumed,
    /// Messages sent.
    sent,
    /// Messages that were due and did not leave before the end.
    unsent,
    /// Deliveries that were to follow from what was sent.
    expected,
    /// Messages sent once more because they were not acknowledged.
    resent,
    /// Messages acknowledged (QoS 1 and 2).
    acked,
    /// Messages that came, each copy.
    received,
    /// Messages that came for the first time.
    unique,
    /// Messages that came again.
    doubled,
    /// Messages that came behind one that was sent later.
    reordered,
    /// Messages of a stranger's stream that did not come.
    missed,
    /// Retained messages taken back.
    cleared,
    /// Messages that are not of this run.
    foreign,
    /// Messages of the measured time.
    sent_measured,
    received_measured,
    acked_measured,
    /// Bytes of packets.
    bytes_sent,
    bytes_received,
    /// PINGREQs.
    pings,
    /// Times that a window was reopened because nothing came any more.
    written_off,
    /// Receives that found no buffer of ours.
    droughts,
}

impl Counts {
    pub(crate) fn join(&mut self, other: &Self) {
        let (mine, theirs) = (self.values(), other.values());
        *self = Self::from_values(std::array::from_fn(|at| mine[at] + theirs[at]));
    }
}

/// One worker's account.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    pub(crate) counts: Counts,
    pub(crate) latencies: Latencies,
    /// What went wrong, by name.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self { counts: Counts::default(), latencies: Latencies::new(), errors: BTreeMap::new() }
    }

    pub(crate) fn error(&mut self, name: String) {
        *self.errors.entry(name).or_default() += 1;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.counts.join(&other.counts);
        self.latencies.join(&other.latencies);
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
    }
}
