//! Rule stage: runs the rules that want a message and hands their rows to the sinks.
//!
//! Runs on the shard that owns the publisher, before the message is routed. The filters of rules lie among those of
//! subscriptions, so that a message which no rule wants costs nothing more.

use std::net::{IpAddr, Ipv4Addr};

use millrace_core::message::Lazy;
use millrace_core::value::Record;
use millrace_rules::fields::Event;
use millrace_rules::{EventView, Input, Outcome, PublishEvent, Rows, Rules, Scratch};

use super::events::Who;
use super::mark::Mark;
use super::route::Origin;
use super::subscribers::Subscriber;
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
        Self { rules, ports, targets, dirty: false }
    }

    /// Runs rules on one event: their rows go to their sinks.
    fn run(&mut self, numbers: &[u32], input: &Input<'_>, rows: &mut Rows) {
        for number in numbers {
            let Some(rule) = self.rules.get_mut(*number) else { continue };
            match rule.evaluate(input, rows) {
                Outcome::Passed => {
                    let targets = &self.targets[*number as usize];
                    for record in rows.drain() {
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
    rows: Rows,
    json: Scratch,
    numbers: u64,
}

/// Runs rules on an event that is a list of fields.
pub(super) fn run_on(rules: &mut RuleSet, scratch: &mut RuleScratch, numbers: &[u32], view: EventView<'_>) {
    let RuleScratch { rows, json, .. } = scratch;
    let input = Input::fields(view, json);
    rules.run(numbers, &input, rows);
}

impl Publisher {
    /// As events name it.
    pub(super) fn who(&self) -> Who<'_> {
        Who { client_id: &self.client_id, username: self.username.as_deref(), host: Some(self.peerhost) }
    }
}

impl Shard {
    /// Puts the filters of all rules among those of subscriptions, and notes which events they want.
    pub(super) fn register_rules(&mut self) {
        self.events.register(&self.rules.rules);
        self.queue_limits.keep_all = self.events.wants(Event::MessageAcked);
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

    /// An identifier for one more message.
    pub(super) fn message_id(&mut self) -> u128 {
        self.rule_scratch.numbers += 1;
        u128::from(self.now.unix.0) << 64 | u128::from(self.id.0) << 48 | u128::from(self.rule_scratch.numbers)
    }

    /// Runs rules on a message of one of this shard's clients.
    pub(super) fn run_rules(&mut self, wanting: &[u32], message: &Lazy<'_>, origin: Origin<'_>) {
        let view = message.view();
        let id = match Mark::read(message.mark()) {
            Some(mark) => mark.id,
            None => self.message_id(),
        };
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
        let RuleScratch { rows, json, .. } = &mut self.rule_scratch;
        let input = Input::publish(event, json);
        self.rules.run(wanting, &input, rows);
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
