//! Fuzz: any bytes to whole connections; nothing may panic and nothing may be left.
