//! Runs the broker: one pinned executor a core that owns its connections and sessions, and the mesh between them.
//!
//! | question | module |
//! | --- | --- |
//! | what can be set | [`config`] |
//! | which shard owns a key | [`assign`] |
//! | room for sockets on each shard | [`berths`] |
//! | what one shard does, without any I/O | [`shard`] |
//! | the rings between shards | [`mesh`] |
//! | what one send takes to a socket | [`send_buffer`] |
//! | threads, sockets, the kernel | [`runtime`] |

pub mod assign;
pub mod berths;
pub mod config;
pub mod mesh;
mod room;
pub mod runtime;
pub mod send_buffer;
pub mod shard;
