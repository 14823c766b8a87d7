//! The property table as data, and properties as they lie on the wire.

/// Properties, encoded, checked when they were decoded; without the length in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The encoded bytes.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }
}
