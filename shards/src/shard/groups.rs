//! Groups: shared subscriptions, and whose turn it is.
//!
//! A group lives on one shard, by its name and filter; that shard has the filter among its own, chooses the member and
//! sends the message on. Members that are away get messages only when nobody else is there; what a member has not
//! acknowledged when it goes is chosen for again (section 4.8.2).

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::{FixedState, RandomState};
use millrace_core::message::{Lazy, Message};
use millrace_core::metrics::{Counter, DropReason, Gauge};
use millrace_core::packet::{QoS, SubscriptionOptions};
use millrace_core::session::inflight::Stage;
use millrace_core::session::{Grant, SubscriptionIds};
use millrace_core::topic::filter::Share;

use super::Shard;
use super::frame::{Frame, GroupJoin, GroupLeave, GroupReturn, Purpose};
use super::give_back::shrink_table;
use super::io::ShardId;
use super::peers::Waits;
use super::replies::Reply;
use super::slab::Slab;
use super::subscribers::{Subscriber, Target};
use crate::config::ShareStrategy;
use crate::room::shrink;

/// Bits of a group reference that hold the group's index on its shard, plus 1.
const INDEX_BITS: u32 = 24;
/// Bits that hold its generation.
const GENERATION_BITS: u32 = 28;

/// A group of any shard in one word; 0 is none. It never means another group that came to the same place later.
pub(super) const fn reference(shard: ShardId, (index, generation): (u32, u32)) -> u64 {
    let generation = generation as u64 & ((1 << GENERATION_BITS) - 1);
    (shard.0 as u64) << (INDEX_BITS + GENERATION_BITS) | generation << INDEX_BITS | (index as u64 + 1)
}

const fn dereference(reference: u64) -> (ShardId, (u32, u32)) {
    let index = (reference & ((1 << INDEX_BITS) - 1)) as u32 - 1;
    let generation = (reference >> INDEX_BITS & ((1 << GENERATION_BITS) - 1)) as u32;
    (ShardId((reference >> (INDEX_BITS + GENERATION_BITS)) as u16), (index, generation))
}

/// Name and filter; the groups of `$queue` have no name.
type GroupName = (Option<Box<str>>, Box<str>);

struct Group {
    strategy: ShareStrategy,
    members: Vec<Member>,
    next: usize,
    sticky: Option<(ShardId, (u32, u32))>,
}

struct Member {
    shard: ShardId,
    client: (u32, u32),
    qos: QoS,
    retain_as_published: bool,
    subscription_id: u32,
    online: bool,
    /// Messages that were sent to it and not acknowledged yet, as far as this shard knows.
    unacknowledged: u32,
}

/// The groups of one shard, and what its own clients owe to groups elsewhere.
#[derive(Default)]
pub(super) struct Groups {
    groups: Slab<Group>,
    by_name: HashMap<GroupName, u32, RandomState>,
    /// Acknowledgements of this turn, by group and member.
    acks: Vec<(u64, (u32, u32), u32)>,
}

impl Groups {
    /// The group, if it is still this one.
    fn get_if(&mut self, (index, generation): (u32, u32)) -> Option<&mut Group> {
        let current = self.groups.generation(index) & ((1 << GENERATION_BITS) - 1);
        if current == generation { self.groups.get_mut(index) } else { None }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.iter().count()
    }

    /// Gives at most `pages` pages back, and what the tables around them need no more; returns how many went.
    pub(super) fn give_back(&mut self, pages: usize) -> usize {
        self.groups.give_back(pages)
            + usize::from(shrink_table(&mut self.by_name))
            + usize::from(shrink(&mut self.acks))
    }
}

fn owned_name(share: Share<'_>) -> Option<Box<str>> {
    match share {
        Share::Group(name) => Some(name.into()),
        Share::Queue => None,
    }
}

impl Shard {
    fn group_home(&self, name: Option<&str>, filter: &str) -> ShardId {
        let key = format!("{}/{filter}", name.unwrap_or(""));
        self.shared.placement.home(key.as_bytes()).shard
    }

    pub(super) fn join_group(
        &mut self,
        client: u32,
        share: Share<'_>,
        filter: &str,
        options: SubscriptionOptions,
        subscription_id: u32,
        waits: &mut Waits,
    ) {
        let Some(key) = self.clients.get(client).map(|client| client.session.key) else { return };
        let name = owned_name(share);
        let home = self.group_home(name.as_deref(), filter);
        if waits.joins == 0 {
            waits.joins_id = self.replies.next_joins_id();
        }
        let join = GroupJoin {
            name,
            filter: filter.into(),
            member: self.clients.identity(client),
            key,
            qos: options.qos,
            retain_as_published: options.retain_as_published,
            subscription_id,
            reply: waits.joins_id,
        };
        if home == self.id {
            let known = self.add_member(self.id, &join);
            waits.join(&known);
        } else {
            waits.joins += 1;
            self.peers.send(home, Frame::GroupJoin(Box::new(join)));
        }
    }

    pub(super) fn on_group_join(&mut self, from: ShardId, join: &GroupJoin) {
        let waits = self.add_member(from, join);
        let joined = Frame::GroupJoined { reply: join.reply };
        if waits.is_none() {
            self.peers.send(from, joined);
        } else {
            self.replies.hold(&mut self.conns, waits, Reply::Shard(from, joined));
        }
    }

    /// Adds a member; says who must know of the filter before it may rely on it.
    fn add_member(&mut self, shard: ShardId, join: &GroupJoin) -> Waits {
        let name = (join.name.clone(), join.filter.clone());
        let index = match self.groups.by_name.get(&name) {
            Some(index) => *index,
            None => {
                let strategy = join.name.as_deref().and_then(|name| self.config.shared.groups.get(name));
                let strategy = strategy.copied().unwrap_or(self.config.shared.strategy);
                let index = self.groups.groups.insert(Group { strategy, members: Vec::new(), next: 0, sticky: None });
                self.counters.raise(Gauge::SharedGroups, 1);
                self.groups.by_name.insert(name, index);
                index
            }
        };
        let group = self.groups.groups.get_mut(index).expect("found or made above");
        let member = Member {
            shard,
            client: join.member,
            qos: join.qos,
            retain_as_published: join.retain_as_published,
            subscription_id: join.subscription_id,
            online: true,
            unacknowledged: 0,
        };
        match group.members.iter_mut().find(|known| known.shard == shard && known.client == join.member) {
            Some(known) => *known = Member { unacknowledged: known.unacknowledged, ..member },
            None => group.members.push(member),
        }
        let mut waits = Waits::default();
        self.subscribe_announced(&join.filter, Subscriber::group(index), &mut waits);
        waits
    }

    pub(super) fn leave_group(&mut self, client: u32, share: Share<'_>, filter: &str) -> ShardId {
        let name = owned_name(share);
        let home = self.group_home(name.as_deref(), filter);
        let member = self.clients.identity(client);
        let leave = GroupLeave { name, filter: filter.into(), member };
        if home == self.id {
            self.on_group_leave(self.id, &leave);
        } else {
            self.peers.send(home, Frame::GroupLeave(Box::new(leave)));
        }
        home
    }

    pub(super) fn on_group_leave(&mut self, from: ShardId, leave: &GroupLeave) {
        let name = (leave.name.clone(), leave.filter.clone());
        let Some(index) = self.groups.by_name.get(&name).copied() else { return };
        let Some(group) = self.groups.groups.get_mut(index) else { return };
        group.members.retain(|member| member.shard != from || member.client != leave.member);
        shrink(&mut group.members);
        if group.members.is_empty() {
            self.groups.by_name.remove(&name);
            self.groups.groups.remove(index);
            self.counters.lower(Gauge::SharedGroups, 1);
            self.unsubscribe_target(&leave.filter, Target::Group(index));
        }
    }

    /// Tells the groups of a client that it came or went.
    pub(super) fn set_presence(&mut self, client: u32, online: bool) {
        let Some(state) = self.clients.get(client) else { return };
        let member = self.clients.identity(client);
        let mountpoint = state.mountpoint;
        let mut shares = Vec::new();
        for subscription in &state.session.subscriptions {
            if let (Some(share), filter) = Share::split(&subscription.filter) {
                shares.push((owned_name(share), filter.to_owned()));
            }
        }
        for (name, filter) in shares {
            let mut mounted = String::new();
            let filter: Box<str> = self.mount(mountpoint, &filter, &mut mounted).into();
            let home = self.group_home(name.as_deref(), &filter);
            if home == self.id {
                self.presence(self.id, name, filter, member, online);
            } else {
                let presence = super::frame::GroupPresence { name, filter, member, online };
                self.peers.send(home, Frame::GroupPresence(Box::new(presence)));
            }
        }
    }

    pub(super) fn presence(
        &mut self,
        from: ShardId,
        name: Option<Box<str>>,
        filter: Box<str>,
        member: (u32, u32),
        online: bool,
    ) {
        let Some(index) = self.groups.by_name.get(&(name, filter)).copied() else { return };
        let Some(group) = self.groups.groups.get_mut(index) else { return };
        if let Some(known) = group.members.iter_mut().find(|known| known.shard == from && known.client == member) {
            known.online = online;
        }
    }

    /// Chooses a member and gives it the message.
    pub(super) fn deliver_to_group(&mut self, index: u32, message: &Lazy<'_>) {
        self.deliver_to_member_of(index, message, QoS::AtMostOnce);
    }

    /// `before`: with which QoS the delivery was begun for a member that is gone; 0 if it begins now.
    fn deliver_to_member_of(&mut self, index: u32, message: &Lazy<'_>, before: QoS) {
        let random = self.shared.random();
        let group_id = (index, self.groups.groups.generation(index) & ((1 << GENERATION_BITS) - 1));
        let inflight = |client: (u32, u32), clients: &mut super::client::Clients| {
            clients.get_if(client).map_or(0, |client| (client.session.inflight.len() + client.session.queued()) as u32)
        };
        let Some(group) = self.groups.groups.get_mut(index) else { return };
        if group.strategy == ShareStrategy::LeastInflight {
            for member in group.members.iter_mut().filter(|member| member.shard == self.id) {
                member.unacknowledged = inflight(member.client, &mut self.clients);
            }
        }
        let view = message.view();
        let Some(at) = group.choose(view.head.publisher, view.topic, random) else {
            self.no_member(before);
            return;
        };
        let member = &mut group.members[at];
        let qos = member.qos.min(view.head.qos);
        let retain = view.head.retain && member.retain_as_published;
        let (shard, client, subscription_id) = (member.shard, member.client, member.subscription_id);
        if qos != QoS::AtMostOnce {
            member.unacknowledged = member.unacknowledged.saturating_add(1);
        }
        if qos != before {
            if qos != QoS::AtMostOnce {
                self.counters.add(Counter::deliveries_created(qos), 1);
            }
            if before != QoS::AtMostOnce {
                self.counters.add(Counter::deliveries_dropped(before, DropReason::SessionEnded), 1);
            }
        }
        if shard == self.id {
            let mut subscription_ids = SubscriptionIds::new();
            if subscription_id != 0 {
                subscription_ids.push(subscription_id);
            }
            let grant = Grant { qos, retain, subscription_ids, group: reference(self.id, group_id) };
            self.deliver_to_member(client, message, &grant);
        } else {
            let purpose = Purpose::Member { member: client, group: group_id, qos, retain, subscription_id };
            self.peers.message(shard, purpose, message);
        }
    }

    /// A message for one client through its group; if the client is gone it goes back.
    pub(super) fn deliver_to_member(&mut self, client: (u32, u32), message: &Lazy<'_>, grant: &Grant) {
        match self.clients.get_if(client) {
            Some(_) => self.deliver(client.0, message, grant, true),
            None => self.return_to_group(grant.group, client, vec![(grant.qos, message.keep())]),
        }
    }

    /// A client goes: what it has not acknowledged of QoS 1, and all that waits, is passed on. What it may have seen of
    /// QoS 2 stays with its session [MQTT-4.8.2-4], or ends with it [MQTT-4.8.2-5].
    pub(super) fn pass_on(&mut self, client: u32) {
        let member = self.clients.identity(client);
        let Some(state) = self.clients.get_mut(client) else { return };
        let had = state.session.held();
        let mut returned: Vec<(u64, QoS, Message)> = Vec::new();
        let unacknowledged: Vec<_> = state
            .session
            .unacknowledged()
            .filter(|(_, entry)| entry.stage == Stage::Puback)
            .filter(|(_, entry)| entry.kept.as_ref().is_some_and(|kept| kept.grant.group != 0))
            .map(|(packet_id, _)| packet_id)
            .collect();
        for packet_id in unacknowledged {
            if let Some(kept) = state.session.inflight.end(packet_id) {
                returned.push((kept.grant.group, kept.grant.qos, kept.message));
            }
        }
        for queued in state.session.take_queued_of_groups() {
            returned.push((queued.grant.group, queued.grant.qos, queued.message));
        }
        let has = state.session.held();
        self.held_changed(had, has);
        let mut groups: Vec<u64> = returned.iter().map(|(group, ..)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let of_group = returned.iter().filter(|(of, ..)| *of == group);
            let messages = of_group.map(|(_, qos, message)| (*qos, message.clone())).collect();
            self.return_to_group(group, member, messages);
        }
    }

    fn return_to_group(&mut self, group: u64, member: (u32, u32), messages: Vec<(QoS, Message)>) {
        let (shard, group) = dereference(group);
        let returned = GroupReturn { group, member, messages };
        if shard == self.id {
            self.on_group_return(self.id, returned);
        } else {
            self.peers.send(shard, Frame::GroupReturn(Box::new(returned)));
        }
    }

    pub(super) fn on_group_return(&mut self, from: ShardId, returned: GroupReturn) {
        let GroupReturn { group, member, messages } = returned;
        self.on_group_acked(from, group, member, u32::try_from(messages.len()).unwrap_or(u32::MAX));
        let is_there = self.groups.get_if(group).is_some();
        for (qos, message) in messages {
            if is_there {
                self.deliver_to_member_of(group.0, &Lazy::shared(&message), qos);
            } else {
                self.no_member(qos);
            }
        }
    }

    /// A group, or its last member, is gone: nobody gets the message.
    fn no_member(&mut self, before: QoS) {
        let counter = match before {
            QoS::AtMostOnce => Counter::MessagesUnrouted,
            _ => Counter::deliveries_dropped(before, DropReason::SessionEnded),
        };
        self.counters.add(counter, 1);
    }

    /// A member acknowledged a message; its group is told at the end of the turn.
    pub(super) fn group_acked(&mut self, client: u32, group: u64) {
        let member = self.clients.identity(client);
        if let Some(known) = self.groups.acks.iter_mut().find(|(of, who, _)| *of == group && *who == member) {
            known.2 += 1;
        } else {
            self.groups.acks.push((group, member, 1));
        }
    }

    pub(super) fn flush_group_acks(&mut self) {
        for (group, member, count) in std::mem::take(&mut self.groups.acks) {
            let (shard, group) = dereference(group);
            if shard == self.id {
                self.on_group_acked(self.id, group, member, count);
            } else {
                self.peers.send(shard, Frame::GroupAcked { group, member, count });
            }
        }
    }

    pub(super) fn on_group_acked(&mut self, from: ShardId, group: (u32, u32), member: (u32, u32), count: u32) {
        let Some(group) = self.groups.get_if(group) else { return };
        if let Some(known) = group.members.iter_mut().find(|known| known.shard == from && known.client == member) {
            known.unacknowledged = known.unacknowledged.saturating_sub(count);
        }
    }
}

impl Group {
    /// Whose turn it is: among those that are connected, or if nobody is, among those that are away.
    fn choose(&mut self, publisher: u64, topic: &str, random: u64) -> Option<usize> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let any_online = self.members.iter().any(|member| member.online);
        let may = |member: &Member| member.online || !any_online;
        // From a starting point on, the first that may.
        let from = |start: usize, members: &[Member]| {
            (0..count).map(|step| (start + step) % count).find(|at| may(&members[*at]))
        };
        let hashed = |key: u64| (key % count as u64) as usize;
        match self.strategy {
            ShareStrategy::RoundRobin => {
                let at = from(self.next % count, &self.members)?;
                self.next = at + 1;
                Some(at)
            }
            ShareStrategy::Random => from(hashed(random), &self.members),
            ShareStrategy::Sticky => {
                let known = self
                    .sticky
                    .and_then(|sticky| self.members.iter().position(|member| (member.shard, member.client) == sticky))
                    .filter(|at| may(&self.members[*at]));
                let at = match known {
                    Some(at) => at,
                    None => from(hashed(random), &self.members)?,
                };
                self.sticky = Some((self.members[at].shard, self.members[at].client));
                Some(at)
            }
            ShareStrategy::HashClient => from(hashed(FixedState::default().hash_one(publisher)), &self.members),
            ShareStrategy::HashTopic => from(hashed(FixedState::default().hash_one(topic)), &self.members),
            ShareStrategy::LeastInflight => {
                (0..count).filter(|at| may(&self.members[*at])).min_by_key(|at| self.members[*at].unacknowledged)
            }
        }
    }
}
