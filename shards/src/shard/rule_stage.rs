//! Rule stage: runs the rules that want a message, and what they do with its rows.
//!
//! Runs on the shard that owns the publisher, before the message is routed. The filters of rules lie among those of
//! subscriptions, so that a message which no rule wants costs nothing more. What is done with a row is in
//! `rule_actions`, which rules there are in `rule_change`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use millrace_core::message::Lazy;
use millrace_core::metrics::{ActionFailure, Counter, Counters};
use millrace_core::packet::QoS;
use millrace_core::time::{Millis, Time};
use millrace_core::value::Record;
use millrace_rules::actions::ActionCounts;
use millrace_rules::book::{Entry, RuleBook};
use millrace_rules::diagnostics::line_and_column;
use millrace_rules::error::EvalError;
use millrace_rules::state::Store;
use millrace_rules::{EventView, Input, Outcome, PublishEvent, Rows, Rule, Scratch, State};

use super::events::Who;
use super::mark::Mark;
use super::republished::{Republished, Trail};
use super::route::Origin;
use super::rule_actions::Hands;
use super::tap::{Tap, Taps};
use super::throttle::Throttle;
use super::{Shard, sys_topics};

/// Where the rows for one sink go: a bounded ring to its worker.
pub trait RowPort: Send {
    /// Hands a row over, or applies the sink's policy for a full buffer and counts it; whether the row was taken.
    fn offer(&mut self, record: Record) -> bool;
    /// The end of a turn: what was offered becomes visible, a sleeping worker is woken.
    fn flush(&mut self);
}

/// The rules of one shard with the ports of their sinks, and what they have asked for.
#[derive(Default)]
pub struct RuleSet {
    /// What the rules are to be; they are it from [`Shard::change_rules`] on.
    pub(super) book: Arc<RuleBook>,
    /// By number.
    pub(super) running: Vec<Option<Running>>,
    pub(super) hands: Hands,
    rows: Rows,
    taps: Taps,
}

/// One rule on one shard.
pub(super) struct Running {
    pub(super) entry: Arc<Entry>,
    pub(super) here: Here,
}

/// What a shard has of a rule for itself.
pub(super) struct Here {
    pub(super) rule: Rule,
    /// Its name, held by this shard alone, so that counting who holds it costs no other shard.
    pub(super) name: Arc<str>,
    /// Which ports its sinks have, in the order of [`millrace_rules::actions::Actions::sinks`].
    pub(super) ports: Box<[Option<usize>]>,
    /// By action.
    pub(super) counts: Box<[ActionCounts]>,
    wants_row: bool,
    /// Lines about failures, and of the action `console`.
    pub(super) failures: Throttle,
    pub(super) console: Throttle,
}

/// What a rule runs on, beside the event itself.
#[derive(Clone, Copy)]
pub(super) struct Cause<'a> {
    /// When.
    pub(super) now: Millis,
    /// The QoS of the message that was published.
    pub(super) qos: QoS,
    /// The rules that this message came through.
    pub(super) trail: Option<&'a Trail>,
}

impl RuleSet {
    /// The rules of a book with the ports that this shard has, by the names of their sinks.
    #[must_use]
    pub fn new(book: Arc<RuleBook>, ports: Vec<(String, Box<dyn RowPort>)>) -> Self {
        Self { book, hands: Hands::new(ports), ..Self::default() }
    }

    /// From now on samples go into this tap, until nobody reads it.
    pub(super) fn tap(&mut self, tap: Tap) {
        self.taps.add(tap);
    }

    /// Messages that rules want to publish.
    pub(super) const fn republished(&self) -> &Republished {
        &self.hands.republished
    }

    /// Runs these rules, by their numbers, on an event; what their actions ask for is done or queued. Borrows nothing
    /// else of the shard, so that the input may lie anywhere in it.
    pub(super) fn run_rules_on(
        &mut self,
        wanting: &[u32],
        input: &Input<'_>,
        cause: Cause<'_>,
        counters: &mut Counters,
    ) {
        self.hands.begin_event();
        for number in wanting {
            let Some(Some(running)) = self.running.get_mut(*number as usize) else { continue };
            let Running { entry, here } = running;
            if cause.trail.is_some_and(|trail| trail.ends_with(entry.id())) {
                here.refuse_own(cause, counters);
                continue;
            }
            let tapped = !self.taps.is_empty();
            let outcome = match here.wants_row || tapped {
                true => here.rule.evaluate(input, &mut self.rows),
                false => here.rule.judge(input),
            };
            if tapped {
                self.taps.note(&here.rule, input, &outcome, &self.rows);
            }
            match outcome {
                Outcome::Passed if here.wants_row => {
                    for record in self.rows.drain() {
                        self.hands.act(entry, here, &record, cause, counters);
                    }
                }
                Outcome::Passed => {
                    let rows = here.rule.rows() as u64;
                    here.counts.iter_mut().for_each(|counts| counts.success += rows);
                }
                Outcome::NoResult => {}
                Outcome::Failed(error) => here.tell_failure(&error, cause.now),
            }
        }
    }

    /// The end of a turn: the rows of this turn become visible to the sinks.
    pub(super) fn flush_rows(&mut self) {
        self.hands.flush();
    }
}

impl Running {
    pub(super) fn new(entry: &Arc<Entry>, hands: &Hands) -> Self {
        let rule = entry.rule().clone();
        let actions = entry.actions();
        let here = Here {
            name: rule.name().into(),
            rule,
            ports: actions.sinks().iter().map(|sink| hands.port(sink)).collect(),
            counts: actions.list().iter().map(|_| ActionCounts::default()).collect(),
            wants_row: actions.wants_row(),
            failures: Throttle::default(),
            console: Throttle::default(),
        };
        Self { entry: Arc::clone(entry), here }
    }
}

impl Here {
    /// A message came back to the rule that published it.
    #[cold]
    fn refuse_own(&mut self, cause: Cause<'_>, counters: &mut Counters) {
        counters.add(Counter::rule_action_failures(ActionFailure::Recursive), 1);
        let action = cause.trail.map_or(0, Trail::action);
        if let Some(counts) = self.counts.get_mut(action) {
            counts.failed += 1;
        }
        if let Some(left_out) = self.failures.pass(cause.now, 1) {
            tracing::warn!(
                event = "rule-action-failed",
                rule = &*self.name,
                action = action + 1,
                reason = ActionFailure::Recursive.name(),
                left_out,
                "the rule would see the message that it published itself"
            );
        }
    }

    #[cold]
    fn tell_failure(&mut self, error: &EvalError, now: Millis) {
        let Some(left_out) = self.failures.pass(now, 1) else { return };
        let (line, column) = line_and_column(error.span(), self.rule.sql());
        tracing::warn!(
            event = "rule-failed",
            rule = &*self.name,
            code = error.code(),
            line,
            column,
            left_out,
            "{}",
            error.message()
        );
    }
}

/// Who published a message that rules see later than it came.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) client_id: Box<str>,
    username: Option<Box<str>>,
    peerhost: IpAddr,
    trail: Option<Trail>,
}

impl Publisher {
    /// A rule.
    pub(super) fn rule(trail: &Trail) -> Box<Self> {
        let client_id = trail.name().into();
        Box::new(Self { client_id, username: None, peerhost: NOWHERE, trail: Some(trail.clone()) })
    }
}

/// Where somebody is who has no address.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Scratch of the rule stage, reused for each message.
pub(super) struct RuleScratch {
    pub(super) json: Scratch,
    numbers: u64,
}

impl RuleScratch {
    /// With what rules keep for all shards.
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { json: Scratch::with_state(State::with_store(store)), numbers: 0 }
    }

    /// A session is over: what rules keep for its client goes with it.
    pub(super) fn forget_client(&self, client_id: &str) {
        self.json.state().forget_client(client_id);
    }
}

/// What telling rules of an event takes besides the event.
pub(super) struct Ear<'a> {
    pub(super) rules: &'a mut RuleSet,
    pub(super) scratch: &'a mut RuleScratch,
    pub(super) counters: &'a mut Counters,
    pub(super) now: Time,
    /// The rules that the message came through that it is about.
    pub(super) trail: Option<&'a Trail>,
}

impl Ear<'_> {
    /// Runs rules on an event that is a list of fields.
    pub(super) fn hear(self, numbers: &[u32], view: EventView<'_>) {
        let input = Input::fields(view, &mut self.scratch.json);
        let cause = Cause { now: self.now.monotonic, qos: QoS::AtMostOnce, trail: self.trail };
        self.rules.run_rules_on(numbers, &input, cause, self.counters);
    }
}

impl Publisher {
    /// The rules that the message came through.
    pub(super) const fn trail(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }

    /// As events name it.
    pub(super) fn who(&self) -> Who<'_> {
        Who { client_id: &self.client_id, username: self.username.as_deref(), host: Some(self.peerhost) }
    }
}

impl Shard {
    /// What rules want to know of a client, kept for later.
    pub(super) fn publisher(&self, client: u32) -> Option<Box<Publisher>> {
        let conn = self.connection_of(client).map(|slot| self.conns.look(slot));
        Some(Box::new(Publisher {
            client_id: self.clients.get(client)?.session.client_id.clone(),
            username: conn.and_then(|conn| conn.extras.as_ref()).and_then(|extras| extras.username.clone()),
            peerhost: conn.map_or(NOWHERE, |conn| conn.ip),
            trail: None,
        }))
    }

    /// An identifier for one more message.
    pub(super) fn message_id(&mut self) -> u128 {
        self.rule_scratch.numbers += 1;
        u128::from(self.now.unix.0) << 64 | u128::from(self.id.0) << 48 | u128::from(self.rule_scratch.numbers)
    }

    /// Runs rules on a message of one of this shard's clients, or of one of its rules.
    pub(super) fn run_rules(&mut self, wanting: &[u32], message: &Lazy<'_>, origin: Origin<'_>) {
        let view = message.view();
        let id = match Mark::read(message.mark()) {
            Some(mark) => mark.id,
            None => self.message_id(),
        };
        let mut trail = None;
        let (clientid, username, peerhost, dup) = match origin {
            Origin::Elsewhere => return,
            Origin::Rule(through) => {
                trail = Some(through);
                (through.name(), None, NOWHERE, false)
            }
            Origin::Publisher(publisher) => {
                trail = publisher.trail.as_ref();
                (&*publisher.client_id, publisher.username.as_deref(), publisher.peerhost, false)
            }
            Origin::Client { client: index, dup } => {
                let Some(client) = self.clients.get(index) else { return };
                let conn = client.is_online().then(|| self.conns.look(client.conn));
                let extras = conn.and_then(|conn| conn.extras.as_ref());
                let peerhost = conn.map_or(NOWHERE, |conn| conn.ip);
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
        let input = Input::publish(event, &mut self.rule_scratch.json);
        let cause = Cause { now: self.now.monotonic, qos: view.head.qos, trail };
        self.rules.run_rules_on(wanting, &input, cause, &mut self.counters);
        if let Origin::Client { client, .. } = origin {
            self.hold_if_rules_ask_much(client);
        }
    }
}
