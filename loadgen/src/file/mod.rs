//! Scenario files: a TOML text whose keys are the long names of the options, so that whatever can be typed can be written.
//!
//! | question | module |
//! | --- | --- |
//! | what stands where | [`document`] |
//! | what that means, and all that is wrong with it | [`mod@read`] |
//! | how that is told | [`diagnostic`] |
//! | which files are built in | [`library`] |

pub(crate) mod diagnostic;
mod document;
pub(crate) mod library;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use self::read::read;
