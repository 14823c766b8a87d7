//! What a topic is, and who wants it.
