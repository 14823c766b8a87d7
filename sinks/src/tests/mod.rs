//! From SQL to rows in a file, and what happens on the way when things go wrong.

mod thread;
