//! Functions of state.
