//! Lifecycle: how a connection ends, what becomes of its Will, and how a session ends.

use std::borrow::Cow;
use std::time::Duration;

use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::message::{Lazy, MessageHead, MessageView};
use millrace_core::metrics::{Counter, DropReason, Gauge};
use millrace_core::packet::{Disconnect, Packet, QoS};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::{Held, Will};
use millrace_core::time::Millis;
use millrace_rules::fields::Event;

use super::connection::{NONE, Pause, Phase};
use super::events::GOING;
use super::io::{Close, ConnId, Gone};
use super::route::Origin;
use super::{Command, Flow, Shard, Timer, is_v5};

/// Longest sleep of the timer of a connection or a session: with 30 s the timers alone of 190,000 clients take half a
/// percent of a core.
const TIMER_STEP: Duration = Duration::from_secs(120);

/// Why a connection or a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// DISCONNECT without an error.
    Client,
    /// DISCONNECT with Will Message, or any error the client names.
    ClientWithWill(ReasonCode),
    /// The network connection broke.
    Network,
    /// Nothing was heard within one and a half times the Keep Alive.
    KeepAlive,
    /// The same client connected again.
    TakenOver,
    /// The same, and it began a new session.
    Discarded,
    /// The client broke the protocol or a limit.
    Fault(ReasonCode),
    /// The broker stops.
    Shutdown,
    /// The Session Expiry Interval is over.
    Expired,
    /// Too many sessions are kept.
    Limit,
}

impl Cause {
    const fn closed(self) -> Counter {
        match self {
            Self::Client | Self::ClientWithWill(_) => Counter::ConnectionsClosedClient,
            Self::Network | Self::Expired => Counter::ConnectionsClosedNetwork,
            Self::KeepAlive => Counter::ConnectionsClosedKeepAlive,
            Self::TakenOver | Self::Discarded => Counter::ConnectionsClosedTakeover,
            Self::Fault(ReasonCode::QuotaExceeded | ReasonCode::MessageRateTooHigh) | Self::Limit => {
                Counter::ConnectionsClosedLimit
            }
            Self::Fault(_) => Counter::ConnectionsClosedProtocolError,
            Self::Shutdown => Counter::ConnectionsClosedShutdown,
        }
    }

    const fn session_ended(self) -> Counter {
        match self {
            Self::TakenOver | Self::Discarded => Counter::SessionsEndedTakeover,
            Self::Expired => Counter::SessionsEndedExpired,
            Self::Limit => Counter::SessionsEndedLimit,
            Self::Shutdown => Counter::SessionsEndedShutdown,
            _ => Counter::SessionsEndedClean,
        }
    }

    /// What a DISCONNECT to the client says; `None` where there is nobody to tell.
    const fn reason_code(self) -> Option<ReasonCode> {
        match self {
            Self::Client | Self::ClientWithWill(_) | Self::Network | Self::Expired | Self::Limit => None,
            Self::KeepAlive => Some(ReasonCode::KeepAliveTimeout),
            Self::TakenOver | Self::Discarded => Some(ReasonCode::SessionTakenOver),
            Self::Fault(reason) => Some(reason),
            Self::Shutdown => Some(ReasonCode::ServerShuttingDown),
        }
    }

    /// As rules see it.
    pub(super) fn word(self) -> Cow<'static, str> {
        match self {
            Self::Client => "normal".into(),
            Self::ClientWithWill(reason) | Self::Fault(reason) => reason.word().into(),
            Self::Network => "tcp_closed".into(),
            Self::KeepAlive => "keepalive_timeout".into(),
            Self::TakenOver => "takeovered".into(),
            Self::Discarded => "discarded".into(),
            Self::Shutdown => "server_shutting_down".into(),
            Self::Expired => "expired".into(),
            Self::Limit => "quota_exceeded".into(),
        }
    }
}

impl Shard {
    /// The client broke a rule: DISCONNECT with the reason where the version has it, then the end [MQTT-4.13.1-1].
    #[cold]
    pub(super) fn fail(&mut self, id: ConnId, reason: ReasonCode, why: &str) -> Flow {
        let conn = self.conns.at(id.slot);
        tracing::debug!(event = "protocol-error", peer = %conn.peer(), reason = reason.name(), "{why}");
        if conn.phase == Phase::Connected {
            self.disconnect(id, Cause::Fault(reason), Some(why));
        } else {
            self.counters.add(Counter::ConnectsRefusedProtocol, 1);
            self.discard(id, Close::Now);
        }
        Flow::Stop
    }

    pub(super) fn on_disconnect(&mut self, id: ConnId, disconnect: &Disconnect<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedDisconnect, 1);
        let client = self.conns.at(id.slot).client;
        if let Some(asked) = disconnect.properties.u32(Property::SessionExpiryInterval) {
            let expiry = self.bounded_expiry(asked);
            // What it asked for counts, not what it was granted (section 3.14.2.2.2).
            let asked_none = self.conns.at(id.slot).asked_no_expiry;
            let Some(state) = self.clients.get_mut(client) else { return Flow::Stop };
            if asked_none && asked != 0 {
                let why = "Session Expiry Interval in DISCONNECT after 0 in CONNECT (section 3.14.2.2.2)";
                return self.fail(id, ReasonCode::ProtocolError, why);
            }
            state.session.expiry = expiry;
        }
        let cause = match disconnect.reason_code {
            ReasonCode::Success => Cause::Client,
            reason => Cause::ClientWithWill(reason),
        };
        self.end_connection(id, cause, None, disconnect.properties);
        Flow::Stop
    }

    /// The transport is gone by itself.
    pub(super) fn on_gone(&mut self, id: ConnId, _how: Gone) {
        let Some(conn) = self.conns.get(id) else { return self.on_gone_unknown(id) };
        if conn.phase == Phase::Connected {
            let client = conn.client;
            let conn = self.free(id.slot);
            self.shared.listener(conn.listener).closed();
            if self.events.wants_any(GOING) {
                self.raise_going(&conn, Cause::Network, Properties::EMPTY);
            }
            self.leave(client, Cause::Network);
        } else {
            let conn = self.free(id.slot);
            self.shared.listener(conn.listener).closed();
            self.counters.add(Counter::ConnectionsClosedNetwork, 1);
        }
    }

    pub(super) fn keep_alive_deadline(&mut self, slot: u32) -> Millis {
        let conn = self.conns.at(slot);
        conn.last_seen.after(Duration::from_millis(u64::from(conn.keep_alive) * 1500))
    }

    /// Looks at a connection again at its deadline, or earlier: a timer must not outlive its connection for long.
    pub(super) fn wake_keep_alive(&mut self, id: ConnId, deadline: Millis) {
        let latest = self.now.monotonic.after(TIMER_STEP);
        self.timers.insert(deadline.min(latest), Timer::KeepAlive(id));
    }

    pub(super) fn on_keep_alive(&mut self, id: ConnId) {
        if self.conns.get(id).is_none_or(|conn| conn.phase != Phase::Connected) {
            return;
        }
        let deadline = self.keep_alive_deadline(id.slot);
        // A client whose reading we paused for our own sake cannot be heard. One that is paused because it does not read
        // what it is sent is heard by reading it. While the whole process was stopped nobody was heard: the runtime hands
        // over all that came meanwhile before it lets a deadline count.
        let now = self.now.monotonic;
        let excused = self.conns.at(id.slot).paused & (Pause::Mesh as u8 | Pause::Rate as u8) != 0;
        if deadline > now || excused {
            self.wake_keep_alive(id, deadline.max(Millis(self.now.monotonic.0 + 1000)));
        } else {
            self.disconnect(id, Cause::KeepAlive, None);
        }
    }

    /// Closes a connection that has a session: DISCONNECT where it is due, everything that is in its output first.
    pub(super) fn disconnect(&mut self, id: ConnId, cause: Cause, why: Option<&str>) {
        self.end_connection(id, cause, why, Properties::EMPTY);
    }

    /// The same; `given` are the properties of the client's own DISCONNECT.
    fn end_connection(&mut self, id: ConnId, cause: Cause, why: Option<&str>, given: Properties<'_>) {
        let version = self.conns.at(id.slot).version;
        if let Some(reason_code) = cause.reason_code().filter(|_| is_v5(version)) {
            let mut properties = PropertiesBuf::default();
            if let Some(why) = why
                && self.fits(id.slot, 16 + why.len())
            {
                properties.push_str(Property::ReasonString, why);
            }
            let packet = Packet::Disconnect(Disconnect { reason_code, properties: properties.as_properties() });
            if cause == Cause::Shutdown && self.conns.at(id.slot).stalled {
                // What waits behind the full socket would keep the goodbye from the client: it comes again, or is QoS 0.
                self.conns.at(id.slot).out.clear();
            }
            self.encode(id.slot, &packet);
            self.counters.add(Counter::PacketsSentDisconnect, 1);
        }
        let conn = self.free(id.slot);
        self.shared.listener(conn.listener).closed();
        if self.events.wants_any(GOING) {
            self.raise_going(&conn, cause, given);
        }
        // Behind a stalled send there is no room; the peer did not read for long enough. Only when the broker stops it
        // gets its goodbye, if the socket takes it before the lingering ends.
        let is_stuck = conn.stalled && !(cause == Cause::Shutdown && is_v5(version));
        if !conn.out.is_empty() && !is_stuck {
            self.commands.push(Command::Send(id, conn.out));
        }
        let how = if cause == Cause::Network || is_stuck { Close::Now } else { Close::Linger };
        self.commands.push(Command::Close(id, how));
        self.leave(conn.client, cause);
    }

    /// A client's connection is over: its Will, its messages, its session.
    fn leave(&mut self, client: u32, cause: Cause) {
        self.counters.add(cause.closed(), 1);
        self.counters.lower(Gauge::Connections, 1);
        self.counters.lower(Gauge::SessionsConnected, 1);
        self.end_feeds(client);
        let now = self.now.monotonic;
        let Some(state) = self.clients.get_mut(client) else { return };
        state.conn = NONE;
        if cause == Cause::Client {
            // The Will is deleted with a normal DISCONNECT [MQTT-3.14.4-3].
            state.session.will = None;
        }
        let full = !matches!(cause, Cause::TakenOver | Cause::Discarded)
            && self.shared.offline_is_full(self.config.sessions.max_offline);
        if !state.session.is_persistent() || full {
            let cause = if state.session.is_persistent() { Cause::Limit } else { cause };
            self.set_presence(client, false);
            self.end_session(client, cause);
            return;
        }
        state.away = true;
        state.ends_at = state.session.expires_at(now);
        let delay = state.session.will.as_ref().map(|will| will.delay);
        state.will_at = delay.map_or(Millis::NEVER, |delay| now.after(Duration::from_secs(delay.into())));
        self.counters.raise(Gauge::SessionsOffline, 1);
        self.shared.offline_changed(1);
        self.set_presence(client, false);
        self.pass_on(client);
        if delay == Some(0) {
            self.publish_will(client);
        }
        if let Some(state) = self.clients.get(client) {
            self.wake_away(client, state.ends_at.min(state.will_at));
        }
    }

    /// Sets a client's timer, unless one fires before. It fires early rather than outlive a session for long that comes
    /// and goes.
    fn wake_away(&mut self, client: u32, at: Millis) {
        let identity = self.clients.identity(client);
        let at = if at == Millis::NEVER { at } else { at.min(self.now.monotonic.after(TIMER_STEP)) };
        if let Some(state) = self.clients.get_mut(client)
            && at < state.timer_at
        {
            state.timer_at = at;
            self.timers.insert(at, Timer::Away(identity));
        }
    }

    /// A client that is away: its Will or the end of its session is due.
    pub(super) fn on_away(&mut self, identity: (u32, u32)) {
        let now = self.now.monotonic;
        let Some(state) = self.clients.get_if(identity) else { return };
        state.timer_at = Millis::NEVER;
        if state.is_online() {
            return;
        }
        if state.ends_at <= now {
            self.end_session(identity.0, Cause::Expired);
            return;
        }
        let (will_at, ends_at) = (state.will_at, state.ends_at);
        if will_at <= now {
            self.publish_will(identity.0);
        }
        let next = if will_at > now { will_at.min(ends_at) } else { ends_at };
        self.wake_away(identity.0, next);
    }

    /// The same client connects again (section 3.1.4): the old connection goes, and its session stays if it is one
    /// that stays.
    pub(super) fn take_over(&mut self, client: u32, cause: Cause) {
        if let Some(slot) = self.connection_of(client) {
            let id = self.conns.id(slot);
            self.disconnect(id, cause, Some("the same client connected again"));
        }
        // It is back before its Will Delay was over [MQTT-3.1.3-9]; a session that ends publishes the Will by itself.
        if let Some(state) = self.clients.get_mut(client) {
            state.will_at = Millis::NEVER;
        }
    }

    /// A session that was away has a connection again, or ends.
    pub(super) fn end_absence(&mut self, client: u32) {
        if self.clients.get_mut(client).is_some_and(|client| std::mem::take(&mut client.away)) {
            self.counters.lower(Gauge::SessionsOffline, 1);
            self.shared.offline_changed(-1);
        }
    }

    /// Ends a session that has no connection: Will, subscriptions, messages.
    pub(super) fn end_session(&mut self, client: u32, cause: Cause) {
        if self.clients.get(client).is_none() {
            return;
        }
        self.counters.add(cause.session_ended(), 1);
        if self.events.wants(Event::SessionTerminated) {
            self.raise_terminated(client, cause);
        }
        self.end_absence(client);
        // A Will whose delay runs is due at the latest now [MQTT-3.1.2-8].
        self.publish_will(client);
        if let Some(state) = self.clients.get(client) {
            self.rule_scratch.forget_client(&state.session.client_id);
        }
        let subscriptions =
            self.clients.get_mut(client).map(|client| std::mem::take(&mut client.session.subscriptions));
        let subscriptions = subscriptions.unwrap_or_default();
        // Groups must not choose it again for what it passes on.
        for subscription in &subscriptions {
            self.forget_subscription(client, &subscription.filter);
        }
        if let Some(state) = self.clients.get_mut(client) {
            state.session.subscriptions = subscriptions;
        }
        self.pass_on(client);
        self.events.forget(client);
        let Some(gone) = self.clients.remove(client) else { return };
        let mut session = gone.session;
        for (_, entry) in session.unacknowledged() {
            let qos = entry.kept.as_ref().map_or(QoS::AtLeastOnce, |kept| kept.grant.qos);
            self.counters.add(Counter::deliveries_dropped(qos, DropReason::SessionEnded), 1);
        }
        self.held_changed(session.held(), Held::default());
        let queued = session.take_queued();
        for queued in queued {
            self.counters.add(Counter::deliveries_dropped(queued.grant.qos, DropReason::SessionEnded), 1);
        }
    }

    /// Publishes the Will of a client, if it has one.
    fn publish_will(&mut self, client: u32) {
        let Some(state) = self.clients.get_mut(client) else { return };
        state.will_at = Millis::NEVER;
        let (key, mountpoint) = (state.session.key, state.mountpoint);
        let Some(will) = state.session.will.take() else { return };
        let Will { message, expiry, .. } = *will;
        let expires_at = match expiry {
            Some(seconds) => self.now.monotonic.after(Duration::from_secs(seconds.into())),
            None => Millis::NEVER,
        };
        let view = message.view();
        let head = MessageHead { expires_at, publisher: key, ..view.head };
        self.counters.add(Counter::MessagesOriginatedWill, 1);
        let lazy = Lazy::new(MessageView { head, ..view });
        let origin = Origin::Client { client, dup: false };
        if let Err((reason, why)) = self.accept_message(&lazy, mountpoint, origin) {
            if self.events.wants(Event::MessageDropped) {
                self.raise_dropped(&lazy, origin, &reason.word());
            }
            tracing::debug!(event = "will-refused", "{why}");
        }
    }

    /// Stops: no new connections, everybody is told and goes.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for slot in self.conns.taken().collect::<Vec<_>>() {
            let id = self.conns.id(slot);
            if self.conns.at(slot).phase == Phase::Connected {
                self.disconnect(id, Cause::Shutdown, None);
            } else {
                self.discard(id, Close::Now);
            }
        }
    }
}
