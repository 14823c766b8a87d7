//! Decode and encode control packets; the one place that asks for the protocol version.

pub mod properties;
