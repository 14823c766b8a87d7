//! What Millrace costs: hot paths in process, and the programs that measure the whole.
//!
//! | question | module |
//! | --- | --- |
//! | how do shards run without sockets | [`in_process`] |
//! | which paths are measured, and which part of them | [`paths`], [`meter`], [`packets`] |
//! | how many instructions does each take | [`gate`] |
//! | how do peers do in the same scenarios | [`compare`] |
//! | how do a million connections fit one process | [`million`] |
//! | what is this machine, how are programs run on it | [`host`], [`process`], [`arguments`], [`text`] |

pub mod arguments;
pub mod compare;
pub mod gate;
pub mod host;
pub mod in_process;
pub mod meter;
pub mod million;
pub mod packets;
pub mod paths;
pub mod process;
pub mod text;
