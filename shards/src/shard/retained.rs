//! Retained messages: those that live on this shard, and fetching them for a new subscription.
//!
//! A retained message lives on the shard of its topic. A filter without wildcards asks that shard, one with wildcards
//! asks all of them in turn. The answer comes in pages, and the next page is asked for when the client has room again:
//! any number of messages neither stalls a shard nor is cut short.

use std::collections::VecDeque;

use millrace_core::message::{Lazy, Message};
use millrace_core::metrics::{Counter, Gauge, Limit};
use millrace_core::packet::SubscriptionOptions;
use millrace_core::session::Grant;
use millrace_core::time::Millis;
use millrace_core::topic::filter::has_wildcards;
use millrace_core::topic::retained::{Cursor, RetainedTree};
use millrace_rules::fields::Event;

use super::frame::{Frame, Purpose, RetainedPage, RetainedQuery};
use super::io::{ConnId, ShardId};
use super::peers::Waits;
use super::slab::Slab;
use super::{Shard, Shared};

/// Messages in one page.
const PAGE_MESSAGES: usize = 128;
/// Topics looked at for one page.
const PAGE_STEPS: usize = 4096;
/// Messages and pages that one client is fed in one go.
const FEED_STEPS: usize = 1024;
/// A client with this much output gets no further page yet.
const OUTPUT_BYTES_BUSY: usize = 64 * 1024;

/// A new subscription that wants retained messages.
#[derive(Debug)]
pub(super) struct FeedStart {
    pub(super) filter: Box<str>,
    pub(super) options: SubscriptionOptions,
    pub(super) id: u32,
}

/// Retained messages on their way to one client for one subscription.
struct Feed {
    client: (u32, u32),
    start: FeedStart,
    /// The shard that is being asked, and the last one to ask.
    shard: u16,
    last: u16,
    cursor: Cursor,
    /// A page is on its way.
    asked: bool,
    /// What has come and not gone out yet.
    page: VecDeque<Message>,
    /// There are no more pages.
    done: bool,
}

/// The retained messages of one shard, and the feeds of its clients.
#[derive(Default)]
pub(super) struct RetainedStore {
    tree: RetainedTree,
    feeds: Slab<Feed>,
    /// Of other shards; answered when everything has been read that was sent before them.
    pub(super) queries: Vec<(ShardId, RetainedQuery)>,
}

impl RetainedStore {
    /// Takes expired messages out, some at a time.
    pub(super) fn expire(&mut self, now: Millis, shared: &Shared) {
        let (count, bytes) = (self.tree.len(), self.tree.bytes());
        self.tree.expire(now, 10_000);
        shared.retained_changed(count, self.tree.len(), bytes, self.tree.bytes());
    }

    /// Gives at most `pages` pages back; returns how many went.
    pub(super) fn give_back(&mut self, pages: usize) -> usize {
        self.feeds.give_back(pages)
    }

    /// Feeds of clients here.
    pub(super) fn feeds(&self) -> usize {
        self.feeds.iter().count()
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.tree.bytes()
    }
}

impl Shard {
    /// Keeps a message as the retained one of its topic, or removes that (section 3.3.1.3). Whether anything was kept.
    pub(super) fn retain(&mut self, message: &Lazy<'_>, waits: &mut Waits) -> bool {
        let view = message.view();
        let home = self.shared.placement.home(view.topic.as_bytes()).shard;
        if home == self.id {
            self.retain_here(message);
        } else {
            self.peers.message(home, Purpose::Retain, message);
            self.peers.wait_for(home, waits);
        }
        !view.payload.is_empty()
    }

    pub(super) fn retain_here(&mut self, message: &Lazy<'_>) {
        let view = message.view();
        let (count, bytes) = (self.retained.tree.len(), self.retained.tree.bytes());
        let limits = &self.config.retained;
        let size = (view.topic.len() + view.properties.len() + view.payload.len()) as u64;
        let known = self.retained.tree.get(view.topic).map(|known| known.bytes() as u64);
        if view.payload.is_empty() {
            self.retained.tree.remove(view.topic);
        } else if view.payload.len() as u64 > limits.max_payload.0
            || self.shared.retained_bytes_are_full(limits, size.saturating_sub(known.unwrap_or(0)))
        {
            // What was kept is not the last message of its topic any more [MQTT-3.3.1-5].
            self.retained.tree.remove(view.topic);
            self.counters.add(Counter::limit_hits(Limit::RetainedBytes), 1);
        } else if known.is_none() && self.shared.retained_count_is_full(limits) {
            self.counters.add(Counter::limit_hits(Limit::RetainedMessages), 1);
        } else {
            self.retained.tree.insert(message.keep());
        }
        self.shared.retained_changed(count, self.retained.tree.len(), bytes, self.retained.tree.bytes());
        self.counters.set(Gauge::RetainedMessages, self.retained.tree.len() as u64);
        self.counters.set(Gauge::RetainedBytes, self.retained.tree.bytes() as u64);
    }

    /// Begins to fetch retained messages for subscriptions that were just acknowledged.
    pub(super) fn start_feeds(&mut self, id: ConnId, starts: Vec<FeedStart>) {
        for start in starts {
            let Some(conn) = self.conns.get(id) else { return };
            let client = conn.client;
            let is_same = |filter: &str| {
                let mounted = start.filter.strip_suffix(filter);
                mounted.is_some_and(|mountpoint| *mountpoint == *self.shared.mountpoint(conn.mountpoint))
            };
            let subscriptions = self.clients.get(client).map_or(&[][..], |client| &client.session.subscriptions);
            let Some(now) = subscriptions.iter().find(|subscription| is_same(&subscription.filter)) else {
                // It was unsubscribed while its SUBACK waited.
                continue;
            };
            let start = FeedStart { options: now.options, id: now.id, ..start };
            let (shard, last) = if has_wildcards(&start.filter) {
                (0, self.shared.placement.shards() - 1)
            } else {
                let home = self.shared.placement.home(start.filter.as_bytes()).shard;
                (home.0, home.0)
            };
            // A SUBSCRIBE that comes again begins again: there is one feed for each subscription at most.
            self.end_feeds_of(client, &start.filter);
            let identity = self.clients.identity(client);
            let Some(state) = self.clients.get_mut(client) else { return };
            let feed = Feed {
                client: identity,
                start,
                shard,
                last,
                cursor: Cursor::new(),
                asked: false,
                page: VecDeque::new(),
                done: false,
            };
            let index = self.retained.feeds.insert(feed);
            state.feeds.get_or_insert_default().0.push(index);
            self.feed(client);
        }
    }

    /// Goes on with the first feed of a client as far as its window and its output have room: one feed after the other,
    /// and nothing of it waits in the queue, where it could be dropped.
    pub(super) fn feed(&mut self, client: u32) {
        for step in 0.. {
            let Some(state) = self.clients.get(client).filter(|client| client.is_online()) else { return };
            let Some(index) = state.feeds.as_ref().and_then(|feeds| feeds.0.first().copied()) else { return };
            let conn = self.conns.at(state.conn);
            if conn.stalled || state.session.queued() > 0 || !state.session.inflight.has_room() {
                return;
            }
            let limit = self.shared.output_limit(self.config.sessions.output_bytes.0);
            if conn.out.len() >= limit.min(OUTPUT_BYTES_BUSY) {
                conn.waits_for_room = true;
                return;
            }
            if step == FEED_STEPS {
                // Messages that are too large for this client, or topics that do not match, leave no output to wait for.
                self.hungry.push(client);
                return;
            }
            let Some(feed) = self.retained.feeds.get_mut(index) else { return };
            if let Some(message) = feed.page.pop_front() {
                let publisher = message.view().head.publisher;
                if publisher == state.session.key && (feed.start.options.no_local || state.no_echo) {
                    if self.events.wants(Event::DeliveryDropped) {
                        let qos = message.view().head.qos.min(feed.start.options.qos);
                        self.raise_no_local(client, &Lazy::shared(&message), qos);
                    }
                    continue;
                }
                let qos = message.view().head.qos.min(feed.start.options.qos);
                let subscription_ids = std::iter::once(feed.start.id).filter(|id| *id != 0).collect();
                // RETAIN is 1 because the message is old news to this subscription [3.1.1 MQTT-3.3.1-8].
                let grant = Grant { qos, retain: true, subscription_ids, group: 0 };
                self.deliver(client, &Lazy::shared(&message), &grant, true);
            } else if feed.asked {
                return;
            } else if feed.done {
                self.end_feed(index);
            } else {
                self.ask(index);
            }
        }
    }

    /// Asks for the next page of a feed.
    fn ask(&mut self, index: u32) {
        let generation = self.retained.feeds.generation(index);
        let Some(feed) = self.retained.feeds.get_mut(index) else { return };
        feed.asked = true;
        let query = RetainedQuery {
            feed: (index, generation),
            filter: feed.start.filter.clone(),
            cursor: std::mem::take(&mut feed.cursor),
        };
        let shard = ShardId(feed.shard);
        if shard == self.id {
            let page = self.page(query);
            self.take_page(page);
        } else {
            self.peers.send(shard, Frame::RetainedQuery(Box::new(query)));
        }
    }

    fn page(&self, mut query: RetainedQuery) -> RetainedPage {
        let mut messages = Vec::new();
        let now = self.now.monotonic;
        let done = self.retained.tree.page(
            &query.filter,
            &mut query.cursor,
            now,
            PAGE_MESSAGES,
            PAGE_STEPS,
            |message: &Message| messages.push(message.clone()),
        );
        RetainedPage { feed: query.feed, messages, cursor: (!done).then_some(query.cursor) }
    }

    pub(super) fn answer_retained_queries(&mut self) {
        for (from, query) in std::mem::take(&mut self.retained.queries) {
            let page = self.page(query);
            self.peers.send(from, Frame::RetainedPage(Box::new(page)));
        }
    }

    pub(super) fn on_retained_page(&mut self, page: RetainedPage) {
        if let Some(client) = self.take_page(page) {
            self.feed(client);
        }
    }

    /// Puts a page into its feed; says whose that is.
    fn take_page(&mut self, page: RetainedPage) -> Option<u32> {
        let (index, generation) = page.feed;
        let feed = self.retained.feeds.get_if(index, generation)?;
        feed.asked = false;
        feed.page = page.messages.into();
        match page.cursor {
            Some(cursor) => feed.cursor = cursor,
            None if feed.shard == feed.last => feed.done = true,
            None => {
                feed.shard += 1;
                feed.cursor = Cursor::new();
            }
        }
        Some(feed.client.0)
    }

    fn end_feed(&mut self, index: u32) {
        let Some(feed) = self.retained.feeds.remove(index) else { return };
        let Some(client) = self.clients.get_if(feed.client) else { return };
        if let Some(feeds) = &mut client.feeds {
            feeds.0.retain(|known| *known != index);
            if feeds.0.is_empty() {
                client.feeds = None;
            }
        }
    }

    /// A subscription was replaced: what is still to come for it follows the new options.
    pub(super) fn change_feeds_of(&mut self, client: u32, filter: &str, options: SubscriptionOptions, id: u32) {
        let Some(feeds) = self.clients.get(client).and_then(|client| client.feeds.as_ref()) else { return };
        for index in &feeds.0 {
            if let Some(feed) = self.retained.feeds.get_mut(*index).filter(|feed| *feed.start.filter == *filter) {
                feed.start.options = options;
                feed.start.id = id;
            }
        }
    }

    /// A subscription is gone, and with it what was still to come for it.
    pub(super) fn end_feeds_of(&mut self, client: u32, filter: &str) {
        let Some(feeds) = self.clients.get(client).and_then(|client| client.feeds.as_ref()) else { return };
        for index in feeds.0.clone() {
            if self.retained.feeds.get(index).is_some_and(|feed| *feed.start.filter == *filter) {
                self.end_feed(index);
            }
        }
        // The one that was under way may be gone, and with it who would have gone on with the next.
        self.feed(client);
    }

    /// The feeds of a client end with its connection.
    pub(super) fn end_feeds(&mut self, client: u32) {
        let feeds = self.clients.get_mut(client).and_then(|client| client.feeds.take());
        for index in feeds.map_or_else(Vec::new, |feeds| feeds.0) {
            self.retained.feeds.remove(index);
        }
    }
}
