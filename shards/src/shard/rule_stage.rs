//! Rule stage: runs the rules that want a message and hands their rows to the sinks.
//!
//! Runs on the shard that owns the publisher, before the message is routed. The filters of rules lie among those of
//! subscriptions, so that a message which no rule wants costs nothing more.

use std::net::{IpAddr, Ipv4Addr};

use millrace_core::message::MessageView;
use millrace_core::value::Record;
use millrace_rules::{Input, Outcome, PublishEvent, Rows, Rules, Scratch};

use super::route::Origin;
use super::subscribers::Subscriber;
use super::tap::{Tap, Taps};
use super::{Shard, sys_topics};

/// Where the rows for one sink go: a bounded ring to its worker.
pub trait RowPort: Send {
    /// Hands a row over, or applies the sink's policy for a full buffer and counts it.
    fn offer(&mut self, record: Record);
    /// The end of a turn: what was offered becomes visible, a sleeping worker is woken.
    fn flush(&mut self);
}

/// The rules of one shard with the ports of their sinks.
#[derive(Default)]
pub struct RuleSet {
    rules: Rules,
    /// Ports by sink.
    ports: Vec<Box<dyn RowPort>>,
    /// For each rule, which ports get its rows.
    targets: Vec<Vec<usize>>,
    dirty: bool,
    rows: Rows,
    taps: Taps,
}

impl RuleSet {
    /// The rules with the ports that this shard has, by the names of their sinks.
    ///
    /// # Panics
    /// If a rule names a sink without a port; the config is checked before.
    #[must_use]
    pub fn new(rules: Rules, ports: Vec<(String, Box<dyn RowPort>)>) -> Self {
        let (names, ports): (Vec<_>, Vec<_>) = ports.into_iter().unzip();
        let port =
            |sink: &String| names.iter().position(|name| name == sink).expect("the config names only sinks it has");
        let targets = rules.as_slice().iter().map(|rule| rule.sinks().iter().map(port).collect()).collect();
        Self { rules, ports, targets, dirty: false, rows: Rows::default(), taps: Taps::default() }
    }

    /// From now on samples go into this tap, until nobody reads it.
    pub(super) fn tap(&mut self, tap: Tap) {
        self.taps.add(tap);
    }

    /// Runs these rules, by their numbers, on an event; what their actions ask for is done or queued. Borrows nothing
    /// else of the shard, so that the input may lie anywhere in it.
    pub(super) fn run_rules_on(&mut self, wanting: &[u32], input: &Input<'_>) {
        for number in wanting {
            let Some(rule) = self.rules.get_mut(*number) else { continue };
            let outcome = rule.evaluate(input, &mut self.rows);
            if !self.taps.is_empty() {
                self.taps.note(rule, input, &outcome, &self.rows);
            }
            match outcome {
                Outcome::Passed => {
                    let targets = &self.targets[*number as usize];
                    for record in self.rows.drain() {
                        for target in targets {
                            self.ports[*target].offer(record.clone());
                        }
                        self.dirty |= !targets.is_empty();
                    }
                }
                Outcome::NoResult => {}
                Outcome::Failed(error) => {
                    tracing::warn!(
                        event = "rule-failed",
                        rule = rule.name(),
                        code = error.code(),
                        position = error.span().start,
                        "{}",
                        error.message()
                    );
                }
            }
        }
    }
}

/// Who published a message that rules see later than it came.
#[derive(Debug)]
pub(super) struct Publisher {
    client_id: Box<str>,
    username: Option<Box<str>>,
    peerhost: IpAddr,
}

/// Scratch of the rule stage, reused for each message.
#[derive(Default)]
pub(super) struct RuleScratch {
    pub(super) json: Scratch,
    numbers: u64,
}

impl Shard {
    /// Puts the filters of all rules among those of subscriptions.
    pub(super) fn register_rules(&mut self) {
        let wanted: Vec<(String, u32)> = self
            .rules
            .rules
            .as_slice()
            .iter()
            .flat_map(|rule| rule.filters().iter().map(|filter| (filter.clone(), rule.number())))
            .collect();
        for (filter, rule) in wanted {
            self.subscribe_target(&filter, Subscriber::rule(rule));
        }
    }

    /// What rules want to know of a client, kept for later.
    pub(super) fn publisher(&self, client: u32) -> Option<Box<Publisher>> {
        let conn = self.connection_of(client).map(|slot| self.conns.look(slot));
        Some(Box::new(Publisher {
            client_id: self.clients.get(client)?.session.client_id.clone(),
            username: conn.and_then(|conn| conn.extras.as_ref()).and_then(|extras| extras.username.clone()),
            peerhost: conn.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |conn| conn.ip),
        }))
    }

    /// Runs rules on a message of one of this shard's clients.
    pub(super) fn run_rules(&mut self, wanting: &[u32], view: &MessageView<'_>, origin: Origin<'_>) {
        let (clientid, username, peerhost, dup) = match origin {
            Origin::Elsewhere => return,
            Origin::Publisher(publisher) => {
                (&*publisher.client_id, publisher.username.as_deref(), publisher.peerhost, false)
            }
            Origin::Client { client: index, dup } => {
                let Some(client) = self.clients.get(index) else { return };
                let conn = self.connection_of(index).map(|slot| self.conns.look(slot));
                let extras = conn.and_then(|conn| conn.extras.as_ref());
                let peerhost = conn.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |conn| conn.ip);
                (&*client.session.client_id, extras.and_then(|extras| extras.username.as_deref()), peerhost, dup)
            }
        };
        self.rule_scratch.numbers += 1;
        let id =
            u128::from(self.now.unix.0) << 64 | u128::from(self.id.0) << 48 | u128::from(self.rule_scratch.numbers);
        let event = PublishEvent {
            id,
            clientid,
            username,
            peerhost,
            topic: view.topic,
            qos: view.head.qos,
            retain: view.head.retain,
            dup,
            payload: view.payload,
            properties: view.properties,
            unix_ms: self.now.unix.0,
            node: sys_topics::NODE,
        };
        let input = Input::publish(event, &mut self.rule_scratch.json);
        self.rules.run_rules_on(wanting, &input);
    }

    /// The end of a turn: the rows of this turn become visible to the sinks.
    pub(super) fn flush_rows(&mut self) {
        if std::mem::take(&mut self.rules.dirty) {
            for port in &mut self.rules.ports {
                port.flush();
            }
        }
    }
}
