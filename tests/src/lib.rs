//! Everything that needs more than one crate: end-to-end suites, the simulator, the conformance ledger.
//!
//! | question | module |
//! | --- | --- |
//! | how to run the program in a test | [`broker`] |
//! | how to say bytes to it that no client library would | [`wire`] |
//! | how to run shards, clients and the network in one thread, from a seed | [`sim`] |
//! | how to run it without io_uring, and send it signals | [`process`] |

pub mod broker;
pub mod process;
pub mod sim;
pub mod wire;
