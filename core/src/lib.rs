//! What MQTT says, as plain data and state machines: no sockets, no clock, no thread of its own.
//!
//! | question | module |
//! | --- | --- |
//! | which limits hold, and why | [`limits`] |
//! | what a control packet is | [`packet`], [`reason_code`] |
//! | how it looks on the wire | [`codec`] |
//! | what is routed once a PUBLISH has been accepted | [`message`] |
//! | what a topic is, and who wants it | [`topic`] |
//! | what a session does with a packet | [`session`] |
//! | what rules produce and sinks store | [`value`] |
//! | how JSON is read, as far as somebody asks | [`json`] |
//! | how a text is made of a row | [`template`] |
//! | how one thread hands things to another | [`ring`] |
//! | what has been counted | [`metrics`] |
//! | how a table grows without holding itself twice, and shrinks | [`pages`], [`places`], [`slots`] |
//! | how a duration or size is written in a config | [`units`] |

pub mod codec;
pub mod json;
pub mod limits;
pub mod message;
pub mod metrics;
pub mod packet;
pub mod pages;
pub mod places;
pub mod reason_code;
pub mod ring;
pub mod session;
pub mod slots;
pub mod template;
pub mod time;
pub mod topic;
pub mod units;
pub mod value;
