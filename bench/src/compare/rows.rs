//! The rows of the comparison: scenarios of the load tool, and what matters in each.

/// What a broker must be able to do for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// What every broker can.
    Nothing,
    /// QoS 2.
    QoS2,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As many messages as the broker takes.
    Throughput,
    /// A held rate: processor time and latency count.
    Paced,
    /// Connections that stay.
    Idle,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) needs: Needs,
    /// Whether it is also run on all cores.
    pub(crate) on_all: bool,
    /// What the load tool is told.
    pub(crate) arguments: &'static [&'static str],
}

/// All of them.
pub(crate) const ROWS: &[Row] = &[
    throughput("pairs-q0", "200 pairs, QoS 0", &["pairs", "-c", "200", "-q", "0", "-s", "64"]),
    throughput(
        "pairs-q1",
        "200 pairs, QoS 1, 20 in flight",
        &["pairs", "-c", "200", "-q", "1", "-s", "64", "-F", "20"],
    ),
    Row {
        needs: Needs::QoS2,
        ..throughput(
            "pairs-q2",
            "200 pairs, QoS 2, 20 in flight",
            &["pairs", "-c", "200", "-q", "2", "-s", "64", "-F", "20"],
        )
    },
    throughput("fan-in-q0", "fan-in 50 to 1, QoS 0", &["fan-in", "-q", "0", "-s", "64"]),
    one(throughput("fan-in-q1", "fan-in 50 to 1, QoS 1", &["fan-in", "-q", "1", "-s", "64"])),
    throughput("fan-out-q0", "fan-out 1 to 500, QoS 0", &["fan-out", "-q", "0", "-s", "64"]),
    one(throughput("pairs-4k", "200 pairs, QoS 0, 4 KiB", &["pairs", "-c", "200", "-q", "0", "-s", "4KiB"])),
    paced(
        "paced-q0",
        "200 pairs, QoS 0, 10,000 a second",
        &["pairs", "-c", "200", "-q", "0", "-s", "64", "--rate", "10k"],
    ),
    paced(
        "paced-q1",
        "200 pairs, QoS 1, 10,000 a second",
        &["pairs", "-c", "200", "-q", "1", "-s", "64", "--rate", "10k"],
    ),
    idle("idle", "5,000 idle connections", &["conn", "-c", "5000"]),
    idle("idle-subscribed", "5,000 idle connections, one subscription each", &["sub", "-c", "5000", "-t", "idle/%i"]),
];

const fn throughput(name: &'static str, title: &'static str, arguments: &'static [&'static str]) -> Row {
    Row { name, title, kind: Kind::Throughput, needs: Needs::Nothing, on_all: true, arguments }
}

const fn paced(name: &'static str, title: &'static str, arguments: &'static [&'static str]) -> Row {
    Row { kind: Kind::Paced, on_all: false, ..throughput(name, title, arguments) }
}

const fn idle(name: &'static str, title: &'static str, arguments: &'static [&'static str]) -> Row {
    Row { kind: Kind::Idle, on_all: false, ..throughput(name, title, arguments) }
}

const fn one(row: Row) -> Row {
    Row { on_all: false, ..row }
}

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
