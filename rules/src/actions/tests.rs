//! What actions make of rows, and what is refused while they are saved.
