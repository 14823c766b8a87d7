//! Retained messages: those that live on this shard, and fetching them for a new subscription.
//!
//! A retained message lives on the shard of its topic. A filter without wildcards asks that shard, one with wildcards
//! asks all of them in turn. The answer comes in pages, and the next page is asked for when the client has room again:
//! any number of messages neither stalls a shard nor is cut short.

use millrace_core::message::{Lazy, Message};
use millrace_core::metrics::{Counter, Gauge, Limit};
use millrace_core::packet::SubscriptionOptions;
use millrace_core::session::{Grant, SubscriptionIds};
use millrace_core::time::Millis;
use millrace_core::topic::filter::has_wildcards;
use millrace_core::topic::retained::{Cursor, RetainedTree};

use super::frame::{Frame, Purpose, RetainedPage, RetainedQuery};
use super::io::{ConnId, ShardId};
use super::peers::Waits;
use super::slab::Slab;
use super::{Shard, Shared};

/// Messages in one page.
const PAGE_MESSAGES: usize = 128;
/// Topics looked at for one page.
const PAGE_STEPS: usize = 4096;
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
}

/// The retained messages of one shard, and the feeds of its clients.
#[derive(Default)]
pub(super) struct RetainedStore {
    tree: RetainedTree,
    feeds: Slab<Feed>,
}

impl RetainedStore {
    /// Takes expired messages out, some at a time.
    pub(super) fn expire(&mut self, now: Millis, shared: &Shared) {
        let (count, bytes) = (self.tree.len(), self.tree.bytes());
        self.tree.expire(now, 10_000);
        shared.retained_changed(count, self.tree.len(), bytes, self.tree.bytes());
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
            self.peers.message(home, Purpose::Retain, view, || message.keep());
            self.peers.wait_for(home, waits);
        }
        !view.payload.is_empty()
    }

    pub(super) fn retain_here(&mut self, message: &Lazy<'_>) {
        let view = message.view();
        let (count, bytes) = (self.retained.tree.len(), self.retained.tree.bytes());
        let limits = &self.config.retained;
        if view.payload.is_empty() {
            self.retained.tree.remove(view.topic);
        } else if view.payload.len() as u64 > limits.max_payload.0 {
            self.counters.add(Counter::limit_hits(Limit::RetainedBytes), 1);
        } else if self.retained.tree.get(view.topic).is_none() && self.shared.retained_is_full(limits) {
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
            let (shard, last) = if has_wildcards(&start.filter) {
                (0, self.shared.placement.shards() - 1)
            } else {
                let home = self.shared.placement.home(start.filter.as_bytes()).shard;
                (home.0, home.0)
            };
            let identity = self.clients.identity(client);
            let Some(state) = self.clients.get_mut(client) else { return };
            let feed = Feed { client: identity, start, shard, last, cursor: Cursor::new(), asked: false };
            let index = self.retained.feeds.insert(feed);
            state.feeds.get_or_insert_default().0.push(index);
            self.ask(index);
        }
    }

    /// Asks for the next page of a feed, if its client has room for it.
    fn ask(&mut self, index: u32) {
        let generation = self.retained.feeds.generation(index);
        let Some(feed) = self.retained.feeds.get(index) else { return };
        if feed.asked {
            return;
        }
        let Some(client) = self.clients.get_if(feed.client) else {
            self.retained.feeds.remove(index);
            return;
        };
        let conn = client.conn;
        let waiting = client.session.queued() > 0;
        let window_full = !client.session.inflight.has_room();
        if !client.is_online() {
            // The subscription was made on a connection that is gone; a new one does not ask again.
            self.end_feed(index);
            return;
        }
        let client = feed.client.0;
        let conn = self.conns.at(conn);
        if waiting || window_full || conn.stalled {
            return;
        }
        if conn.out.len() > OUTPUT_BYTES_BUSY {
            self.hungry.push(client);
            return;
        }
        let feed = self.retained.feeds.get_mut(index).expect("looked at above");
        feed.asked = true;
        let query = RetainedQuery {
            feed: (index, generation),
            filter: feed.start.filter.clone(),
            cursor: std::mem::take(&mut feed.cursor),
        };
        let shard = ShardId(feed.shard);
        if shard == self.id {
            let page = self.page(query);
            self.on_retained_page(page);
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

    pub(super) fn on_retained_query(&mut self, from: ShardId, query: RetainedQuery) {
        let page = self.page(query);
        self.peers.send(from, Frame::RetainedPage(Box::new(page)));
    }

    pub(super) fn on_retained_page(&mut self, page: RetainedPage) {
        let (index, generation) = page.feed;
        let Some(feed) = self.retained.feeds.get_if(index, generation) else { return };
        feed.asked = false;
        let (client, options, id) = (feed.client, feed.start.options, feed.start.id);
        let mut done = false;
        match page.cursor {
            Some(cursor) => feed.cursor = cursor,
            None if feed.shard == feed.last => done = true,
            None => {
                feed.shard += 1;
                feed.cursor = Cursor::new();
            }
        }
        if self.clients.get_if(client).is_none() {
            self.retained.feeds.remove(index);
            return;
        }
        for message in &page.messages {
            let mut subscription_ids = SubscriptionIds::new();
            if id != 0 {
                subscription_ids.push(id);
            }
            let qos = message.view().head.qos.min(options.qos);
            // RETAIN is 1 because the message is old news to this subscription [MQTT-3.3.1-8].
            let grant = Grant { qos, retain: true, subscription_ids, group: 0 };
            self.deliver(client.0, &Lazy::shared(message), &grant, true);
        }
        if done {
            self.end_feed(index);
        } else if client_has_output(self, client.0) {
            // The output of this page leaves first; the turn's end asks again.
            self.hungry.push(client.0);
        } else {
            self.ask(index);
        }
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

    /// Asks for more for each feed of a client that has room again.
    pub(super) fn feed(&mut self, client: u32) {
        let Some(feeds) = self.clients.get(client).and_then(|client| client.feeds.as_ref()) else { return };
        for index in feeds.0.clone() {
            self.ask(index);
        }
    }

    /// The feeds of a client end with its connection.
    pub(super) fn end_feeds(&mut self, client: u32) {
        let feeds = self.clients.get_mut(client).and_then(|client| client.feeds.take());
        for index in feeds.map_or_else(Vec::new, |feeds| feeds.0) {
            self.retained.feeds.remove(index);
        }
    }
}

fn client_has_output(shard: &mut Shard, client: u32) -> bool {
    shard.connection_of(client).is_some_and(|slot| !shard.conns.at(slot).out.is_empty())
}
