//! Whole exports, from bytes to config and report.
