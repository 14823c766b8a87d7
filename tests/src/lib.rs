//! Everything that needs more than one crate: end-to-end suites, the simulator, the conformance ledger.

pub mod sim;
