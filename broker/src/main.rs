//! The program: reads the config, makes the rings, hands each end to its owner, starts, stops.
fn main() {}
