//! Oracle: what clients may and must see, judged from what they sent and received alone.
//!
//! It knows nothing of shards. A moment is a tick: it counts what clients send and receive, so that "published after
//! the SUBACK had come" has a meaning without clocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use millrace_core::topic::filter::{Share, matches};

/// A message that a client has published.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who.
    pub publisher: usize,
    /// Where.
    pub topic: String,
    /// With which QoS.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// It removes a retained message and has no payload to be known by.
    pub removes: bool,
    /// It may expire.
    pub expires: bool,
    /// Bytes of its payload.
    pub size: usize,
    /// When it was sent first and last.
    pub first_sent: u64,
    /// See above.
    pub last_sent: u64,
    /// How often it was sent.
    pub tries: u32,
    /// When the broker took responsibility for it.
    pub acked: Option<u64>,
    /// It is a Will.
    pub will: bool,
}

/// A subscription as its client knows it.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// As the client wrote it.
    pub filter: String,
    /// Lowest QoS it ever had.
    pub qos_min: u8,
    /// The QoS it has now.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// No Local, now or ever.
    pub no_local_ever: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Subscription Identifier, 0 for none.
    pub id: u32,
    /// When its first SUBACK came.
    pub acked: Option<u64>,
    /// When UNSUBACK came.
    pub gone: Option<u64>,
    /// UNSUBSCRIBE was sent.
    pub leaving: bool,
    /// When.
    pub left: u64,
    /// When the first SUBSCRIBE for it was sent.
    pub made: u64,
}

impl Subscribed {
    /// Its filter without a share.
    #[must_use]
    pub fn bare(&self) -> &str {
        Share::split(&self.filter).1
    }

    /// Whether it is shared.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Share::split(&self.filter).0.is_some()
    }

    fn is_for(&self, topic: &str) -> bool {
        matches(self.bare(), topic)
    }
}

/// What a client knows of its session.
#[derive(Debug, Default)]
pub struct Epoch {
    /// All subscriptions it ever had in this session.
    pub subscriptions: Vec<Subscribed>,
    /// When the last change to them was acknowledged.
    pub changed: u64,
    /// Changes that are not acknowledged.
    pub changing: u32,
    /// Smallest Maximum Packet Size it had.
    pub max_packet: u32,
    /// How often each message came as a new delivery, by QoS of the delivery.
    received: HashMap<u64, [u32; 3]>,
    /// Every message that came in whatever way.
    seen: HashSet<u64>,
    /// The last new message by publisher, topic, QoS of the message and of the delivery.
    last: HashMap<(usize, String, u8, u8), u64>,
    /// Retained messages of the subscription under way, by topic.
    retained: HashMap<String, u64>,
}

/// One delivery to a client.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Topic, after the alias.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// QoS.
    pub qos: u8,
    /// DUP.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Subscription Identifiers; absent in version 3.
    pub ids: Option<Vec<u32>>,
}

/// What became of one connection that had a Will.
#[derive(Debug)]
pub struct WillStory {
    /// The message.
    pub uid: u64,
    /// How often it must come: at least and at most.
    pub must: Option<(u32, u32)>,
}

#[derive(Debug)]
struct Group {
    /// Members ever, by client and when they asked; whether they stayed.
    members: BTreeMap<(usize, u64), Membership>,
    /// Deliveries by message.
    received: BTreeMap<u64, Vec<(usize, u8)>>,
    /// Lowest QoS and Maximum Packet Size of all who may be or have been members.
    qos_min: u8,
    max_packet: u32,
}

#[derive(Debug)]
struct Membership {
    since: u64,
    stayed: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self { members: BTreeMap::new(), received: BTreeMap::new(), qos_min: 2, max_packet: u32::MAX }
    }
}

/// The judge of one simulation.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Now.
    pub tick: u64,
    /// All messages, by number.
    pub sent: Vec<Sent>,
    /// All Wills.
    pub wills: Vec<WillStory>,
    groups: BTreeMap<String, Group>,
    /// Deliveries of Wills to the watcher.
    will_arrivals: HashMap<u64, u32>,
    /// Some member of a group lost its connection or its session, or left.
    pub groups_disturbed: bool,
    /// Some member's session ended, so that QoS 2 messages may have ended with it.
    pub groups_lost: bool,
    /// Queues are short.
    pub lossy: bool,
    /// What is missing, each with its story.
    pub missing: Vec<String>,
    /// Messages found delivered in the end; a simulation in which nothing happens proves nothing.
    pub proven: u64,
}

impl Oracle {
    /// The next moment.
    pub const fn now(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Notes a message that will be published; returns its number.
    pub fn publish(&mut self, sent: Sent) -> u64 {
        self.sent.push(sent);
        self.sent.len() as u64 - 1
    }

    /// The payload of a message: its number, then bytes that follow from it.
    #[must_use]
    pub fn payload(uid: u64, size: usize) -> Vec<u8> {
        let mut payload = uid.to_be_bytes().to_vec();
        payload.extend((0..size.saturating_sub(8)).map(|at| (uid as usize + at) as u8));
        payload
    }

    /// It went out.
    pub fn transmitted(&mut self, uid: u64) {
        let now = self.now();
        let sent = &mut self.sent[uid as usize];
        if sent.tries == 0 {
            sent.first_sent = now;
        }
        sent.last_sent = now;
        sent.tries += 1;
    }

    /// The broker took responsibility.
    pub fn acked(&mut self, uid: u64) {
        let now = self.now();
        self.sent[uid as usize].acked.get_or_insert(now);
    }

    /// A PUBLISH came that is not a repetition the client knows of.
    pub fn arrived(&mut self, client: usize, epoch: &mut Epoch, arrival: &Arrival<'_>) {
        self.now();
        let who = || format!("client {client}: {arrival:?}");
        if arrival.topic.starts_with('$') {
            return;
        }
        if !epoch.subscriptions.iter().any(|known| known.is_for(arrival.topic)) {
            panic!("{}: no subscription matches", who());
        }
        if arrival.payload.is_empty() {
            return;
        }
        let uid = u64::from_be_bytes(arrival.payload[..8].try_into().expect("payloads have eight bytes"));
        let sent = &self.sent[uid as usize];
        assert_eq!(sent.topic, arrival.topic, "{}: published as {sent:?}", who());
        assert_eq!(Self::payload(uid, sent.size), arrival.payload, "{}: payload", who());
        assert!(arrival.qos <= sent.qos, "{}: QoS is over that of {sent:?}", who());
        if sent.will && client == 0 {
            *self.will_arrivals.entry(uid).or_default() += 1;
        }
        // When a Will or a delayed message is published is not known.
        let stable = epoch.changing == 0 && sent.first_sent > epoch.changed && !sent.will;
        if stable {
            Self::judge_options(client, epoch, sent, arrival);
        }
        let mut late = epoch.subscriptions.iter().filter(|known| known.is_for(arrival.topic));
        assert!(
            sent.will || late.any(|known| known.gone.is_none_or(|gone| sent.first_sent < gone)),
            "{}: published after UNSUBACK: {sent:?}",
            who()
        );
        let share = epoch.subscriptions.iter().find(|known| known.is_shared() && known.is_for(arrival.topic));
        if let Some(share) = share {
            let group = self.groups.entry(share.filter.clone()).or_default();
            group.received.entry(uid).or_default().push((client, arrival.qos));
            return;
        }
        epoch.seen.insert(uid);
        let fresh_retained = arrival.retain && sent.retain;
        if fresh_retained {
            // An old message for a new subscription, or a new one with Retain As Published: the same bytes.
            return;
        }
        let counts = epoch.received.entry(uid).or_default();
        counts[usize::from(arrival.qos)] += 1;
        let total = counts[usize::from(arrival.qos)];
        if arrival.qos == 2 || (arrival.qos == 0 && sent.qos != 1) {
            assert_eq!(total, 1, "{}: delivered again; {sent:?}", who());
        }
        if total == 1 {
            let key = (sent.publisher, sent.topic.clone(), sent.qos, arrival.qos);
            // A message that was sent again is new to whom missed it before.
            let promised = epoch.subscriptions.iter().any(|known| {
                let before = known.acked.is_some_and(|acked| acked < sent.first_sent);
                let own = known.no_local_ever && sent.publisher == client;
                known.is_for(arrival.topic) && before && known.qos_min > 0 && !known.leaving && !own && !sent.retain
            });
            let again = sent.tries > 1 && (!promised || arrival.qos == 0 || self.lossy || sent.expires);
            if let Some(last) = epoch.last.insert(key, uid).filter(|_| !again) {
                let other = &self.sent[last as usize];
                assert!(last < uid || sent.will, "client {client}: message {uid} {sent:?} came after {last} {other:?}");
            }
        }
    }

    fn judge_options(client: usize, epoch: &Epoch, sent: &Sent, arrival: &Arrival<'_>) {
        let matching: Vec<_> =
            epoch.subscriptions.iter().filter(|known| known.gone.is_none() && known.is_for(arrival.topic)).collect();
        let own = sent.publisher == client && !sent.will;
        let giving: Vec<_> = matching.iter().filter(|known| !(own && known.no_local)).collect();
        let context = || format!("client {client}: {arrival:?} by {giving:?}, published as {sent:?}");
        assert!(!giving.is_empty(), "{}: nobody wants it", context());
        // What follows is not so for retained messages of a new subscription.
        let as_published = giving.iter().any(|known| known.retain_as_published);
        if arrival.retain && !as_published {
            assert!(sent.retain, "{}: RETAIN", context());
            return;
        }
        if !arrival.retain && as_published && arrival.ids.is_some() {
            assert!(!sent.retain, "{}: Retain As Published", context());
        }
        if arrival.retain {
            return;
        }
        let qos = giving.iter().map(|known| known.qos).max().unwrap_or(0).min(sent.qos);
        assert_eq!(arrival.qos, qos, "{}: QoS", context());
        if let Some(ids) = &arrival.ids {
            let mut wanted: Vec<u32> = giving.iter().map(|known| known.id).filter(|id| *id != 0).collect();
            let mut met = ids.clone();
            wanted.sort_unstable();
            met.sort_unstable();
            assert_eq!(met, wanted, "{}: Subscription Identifiers", context());
        }
    }

    /// A client is a member of a group.
    pub fn joined(&mut self, client: usize, made: u64, filter: &str) {
        let now = self.now();
        let group = self.groups.entry(filter.to_owned()).or_default();
        group.members.entry((client, made)).or_insert(Membership { since: now, stayed: true });
    }

    /// A client asks to become a member; whether it is one shows only if the SUBACK comes.
    pub fn joins(&mut self, filter: &str, qos: u8, max_packet: u32) {
        let group = self.groups.entry(filter.to_owned()).or_default();
        group.qos_min = group.qos_min.min(qos);
        group.max_packet = group.max_packet.min(max_packet);
    }

    /// A member has left, or its session is gone.
    pub fn left(&mut self, client: usize, filter: &str) {
        self.groups_disturbed = true;
        self.groups_lost = true;
        if let Some(group) = self.groups.get_mut(filter) {
            for ((who, _), member) in &mut group.members {
                if *who == client {
                    member.stayed = false;
                }
            }
        }
    }

    /// In the end: what must have come to a session that lives.
    pub fn judge_session(&mut self, client: usize, epoch: &Epoch) {
        for (uid, sent) in self.sent.iter().enumerate() {
            if sent.acked.is_none() || sent.expires || sent.removes || sent.qos == 0 || sent.will {
                continue;
            }
            if sent.size + sent.topic.len() + 128 > epoch.max_packet as usize {
                continue;
            }
            let wanting = epoch.subscriptions.iter().filter(|known| !known.is_shared() && known.is_for(&sent.topic));
            let mut wanting = wanting.filter(|known| {
                let throughout = known.acked.is_some_and(|acked| acked < sent.first_sent) && !known.leaving;
                throughout && known.qos_min > 0 && !(known.no_local_ever && sent.publisher == client)
            });
            let Some(wanting) = wanting.next() else { continue };
            if wanting.retain_as_published && sent.retain {
                continue;
            }
            self.proven += 1;
            if !epoch.seen.contains(&(uid as u64)) {
                self.missing.push(format!("client {client} never got message {uid} {sent:?} for {wanting:?}"));
            }
        }
    }

    /// In the end: what must have come to shared subscriptions.
    pub fn judge_groups(&mut self) {
        for (filter, group) in &self.groups {
            let bare = Share::split(filter).1;
            for (uid, sent) in self.sent.iter().enumerate() {
                if !matches(bare, &sent.topic) || sent.removes {
                    continue;
                }
                let uid = uid as u64;
                let empty = Vec::new();
                let received = group.received.get(&uid).unwrap_or(&empty);
                let context =
                    || format!("{filter}: message {uid} {sent:?} went to {received:?}; members {:?}", group.members);
                let exact = received.iter().filter(|(_, qos)| *qos == 2).count();
                assert!(exact <= 1, "{}: more than once", context());
                let clients: BTreeSet<_> = received.iter().map(|(client, _)| *client).collect();
                if !self.groups_disturbed && sent.tries == 1 {
                    assert!(clients.len() <= 1, "{}: to more than one", context());
                }
                if sent.acked.is_none() || sent.qos == 0 || sent.expires {
                    continue;
                }
                let lasting = group.members.values().any(|member| member.stayed && member.since < sent.first_sent);
                let all_lose_nothing =
                    group.qos_min > 0 && sent.size + sent.topic.len() + 128 <= group.max_packet as usize;
                let may_end = sent.qos == 2 && self.groups_lost;
                if lasting && all_lose_nothing && !may_end {
                    self.proven += 1;
                    if received.is_empty() {
                        self.missing.push(context());
                    }
                }
            }
        }
    }

    /// In the end: Wills that must and must not have come to the watcher.
    pub fn judge_wills(&mut self) {
        for story in &self.wills {
            let Some((least, most)) = story.must else { continue };
            let sent = &self.sent[story.uid as usize];
            let count = self.will_arrivals.get(&story.uid).copied().unwrap_or(0);
            let most = if sent.qos == 1 { most.saturating_mul(100) } else { most };
            let least = if sent.qos == 0 { 0 } else { least };
            assert!((least..=most).contains(&count), "Will {story:?} {sent:?} came {count} times");
            self.proven += u64::from(least);
        }
    }

    /// What the retained message of a topic may be in the end: numbers of messages, `None` for nothing.
    #[must_use]
    pub fn retained_candidates(&self) -> BTreeMap<String, BTreeSet<Option<u64>>> {
        let mut topics: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (uid, sent) in self.sent.iter().enumerate() {
            if sent.retain && sent.tries > 0 && !sent.expires {
                topics.entry(&sent.topic).or_default().push(uid as u64);
            }
        }
        let mut all = BTreeMap::new();
        for (topic, uids) in topics {
            let mut candidates = BTreeSet::new();
            let mut any_acked = false;
            for uid in &uids {
                let sent = &self.sent[*uid as usize];
                let overwritten = uids.iter().any(|other| {
                    let other = &self.sent[*other as usize];
                    other.acked.is_some() && other.first_sent > sent.last_sent
                });
                any_acked |= sent.acked.is_some();
                if !overwritten {
                    candidates.insert((!sent.removes).then_some(*uid));
                }
            }
            if !any_acked {
                candidates.insert(None);
            }
            all.insert(topic.to_owned(), candidates);
        }
        all
    }

    /// A retained message came for a subscription that wanted all of them: none comes twice.
    pub fn arrived_retained(&mut self, epoch: &mut Epoch, arrival: &Arrival<'_>) {
        let uid = u64::from_be_bytes(arrival.payload[..8].try_into().expect("payloads have eight bytes"));
        let before = epoch.retained.insert(arrival.topic.to_owned(), uid);
        assert_eq!(before, None, "retained {arrival:?} came twice");
    }

    /// In the end: a fresh subscriber of everything got each retained message once.
    pub fn judge_retained(&mut self, epoch: &Epoch) {
        for (topic, candidates) in self.retained_candidates() {
            if self.sent.iter().any(|sent| sent.topic == topic && sent.retain && sent.expires) {
                continue;
            }
            let met = epoch.retained.get(&topic).copied();
            assert!(candidates.contains(&met), "retained message of {topic} is {met:?}, not one of {candidates:?}");
            self.proven += 1;
        }
    }
}
