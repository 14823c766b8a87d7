//! What a topic is, and who wants it.
//!
//! | question | module |
//! | --- | --- |
//! | is this a Topic Name | [`name`] |
//! | is this a Topic Filter, does it match | [`filter`] |
//! | which local filters match this topic | [`trie`] |
//! | which other shards want this topic | [`routes`] |
//! | which retained messages match this filter | [`retained`] |
//!
//! The maps take text that [`TopicName`] or [`Subscription`] has accepted. Other text harms nothing but its own
//! entry: no function here panics or recurses on what a client sent.

mod hash;
mod pages;
mod slots;
mod text;
#[cfg(test)]
mod texts;

pub mod filter;
pub mod name;
pub mod retained;
pub mod routes;
pub mod trie;

pub use filter::{FilterError, Share, Subscription, TopicFilter, has_wildcards, matches};
pub use name::{NameError, TopicLimits, TopicName};
pub use retained::{Cursor, RetainedTree};
pub use routes::{RouteTable, ShardSet};
pub use trie::FilterTrie;
