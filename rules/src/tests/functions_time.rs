//! Functions of time.
