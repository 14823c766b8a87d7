//! Functions of hashes, as hexadecimal digits in lower case.

use md5::{Digest, Md5};
use millrace_core::value::Value;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::{DATA, Function, bytes, param, pure, text};
use crate::error::{Trouble, met};
use crate::value_type::Type;

type Hash = fn(&[u8]) -> String;

const KINDS: [(&str, Hash); 7] = [
    ("md5", hex::<Md5>),
    ("sha", hex::<Sha1>),
    ("sha1", hex::<Sha1>),
    ("sha224", hex::<Sha224>),
    ("sha256", hex::<Sha256>),
    ("sha384", hex::<Sha384>),
    ("sha512", hex::<Sha512>),
];

pub(super) const TABLE: &[Function] = &[
    pure("md5", &[DATA], Type::TEXT, "The MD5 hash: md5('hello') is '5d41402abc4b2a76b9719d911017c592'.", |args| {
        hashed(hex::<Md5>(bytes(args, 0)))
    }),
    pure("sha", &[DATA], Type::TEXT, "The SHA-1 hash: sha('hello') begins with 'aaf4c61d'.", |args| {
        hashed(hex::<Sha1>(bytes(args, 0)))
    }),
    pure("sha256", &[DATA], Type::TEXT, "The SHA-256 hash: sha256('hello') begins with '2cf24dba'.", |args| {
        hashed(hex::<Sha256>(bytes(args, 0)))
    }),
    pure(
        "hash",
        &[param("kind", Type::TEXT), DATA],
        Type::TEXT,
        "The hash of a kind: md5, sha or sha1, sha224, sha256, sha384, sha512: hash('sha1', 'hello') begins with 'aaf4c61d'.",
        |args| match find(text(args, 0)) {
            Some(hash) => hashed(hash(bytes(args, 1))),
            None => Err(Trouble::Failed { function: "hash", why: unknown(&args[0]) }),
        },
    )
    .verified(|constants| match constants.first().copied().flatten() {
        Some(kind @ Value::Text(name)) if find(name).is_none() => Err(unknown(kind)),
        _ => Ok(()),
    }),
];

fn find(name: &str) -> Option<Hash> {
    KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, hash)| *hash)
}

fn unknown(kind: &Value<'_>) -> String {
    format!("the kind can be {}, not {}", KINDS.map(|(name, _)| name).join(", "), met(kind))
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of every function")]
fn hashed<'i>(hash: String) -> Result<Value<'i>, Trouble> {
    Ok(Value::Text(hash.into()))
}

fn hex<D: Digest>(data: &[u8]) -> String {
    D::digest(data)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
