//! What a topic is, and who wants it.
//!
//! | question | module |
//! | --- | --- |
//! | is this a Topic Name | [`name`] |
//! | is this a Topic Filter, does it match | [`filter`] |
//! | which local filters match this topic | [`trie`] |
//! | which other shards want this topic | [`routes`], [`exact_routes`] |
//! | which retained messages match this filter | [`retained`] |
//!
//! The maps take text that [`TopicName`] or [`Subscription`] has accepted. Other text harms nothing but its own
//! entry: no function here panics or recurses on what a client sent.

mod hash;
mod text;
#[cfg(test)]
mod texts;

pub mod exact_routes;
pub mod filter;
pub mod name;
pub mod retained;
pub mod routes;
pub mod trie;

pub use exact_routes::ExactRoutes;
pub use filter::{FilterError, Share, Subscription, TopicFilter, has_wildcards, matches};
pub use name::{NameError, TopicLimits, TopicName};
pub use retained::{Cursor, RetainedTree};
pub use routes::{RouteTable, SHARDS_MAX, ShardSet};
pub use trie::FilterTrie;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{Message, MessageHead, MessageView};
    use crate::packet::QoS;
    use crate::time::Millis;

    proptest! {
        /// Text that nobody has checked: what comes out has no meaning, but comes out.
        #[test]
        fn no_text_makes_a_map_panic(texts in prop::collection::vec("([a\\x00+#/$]|\\PC){0,8}", 1..12)) {
            let mut trie = FilterTrie::<u32>::new();
            let exact = Arc::new(ExactRoutes::new(1));
            let mut routes = RouteTable::new(1, Arc::clone(&exact));
            let mut retained = RetainedTree::new();
            let mut shards = ShardSet::new();
            for text in &texts {
                trie.entry(text, || 1);
                routes.add(text, 1);
                retained.insert(Message::new(&MessageView {
                    head: MessageHead {
                        qos: QoS::AtMostOnce,
                        retain: true,
                        expires_at: Millis::NEVER,
                        publisher: 0,
                    },
                    topic: text,
                    properties: &[],
                    payload: &[],
                }));
            }
            for text in &texts {
                trie.matches(text, |_| {});
                routes.shards(text, &mut shards);
                let mut cursor = Cursor::new();
                let mut pages = 0;
                while !retained.page(text, &mut cursor, Millis(0), 1, 1, |_| {}) {
                    pages += 1;
                    prop_assert!(pages <= texts.len());
                }
            }
            for text in &texts {
                trie.remove(text);
                routes.remove(text, 1);
                retained.remove(text);
            }
            prop_assert!(trie.is_empty() && exact.is_empty() && retained.is_empty());
        }
    }
}
