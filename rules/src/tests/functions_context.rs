//! Functions of context.
