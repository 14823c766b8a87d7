//! What Millrace costs: hot paths in process, and the programs that measure the whole.
//!
//! | question | module |
//! | --- | --- |
//! | how do shards run without sockets | [`in_process`] |
//! | which paths are measured | [`paths`] |
//! | how many instructions does each take | [`gate`] |

pub mod gate;
pub mod in_process;
pub mod meter;
pub mod packets;
pub mod paths;
