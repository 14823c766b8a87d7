//! What shards tell each other: a plain enum that can be encoded, no closure, pointer or oneshot in it.

/// One entry of a mesh ring.
#[derive(Debug)]
pub enum Frame {
    /// Nothing yet.
    Nop,
}
