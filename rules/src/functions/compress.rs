//! Functions that compress and restore bytes: gzip (RFC 1952), raw deflate (RFC 1951), zlib (RFC 1950).
//!
//! Invariants: what is restored is paid for while it grows and has at most [`ROW_BYTES_MAX`], however small it came.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, ZlibEncoder};
use millrace_core::value::{ROW_BYTES_MAX, Value};

use super::{BINARY, DATA, Function, bytes, of_bytes, of_event};
use crate::error::{Trouble, met};
use crate::input::Input;

pub(super) const TABLE: &[Function] = &[
    of_event(
        "gzip",
        &[DATA],
        BINARY,
        "Compressed, as a gzip file: gunzip(gzip('hello')) is 'hello'.",
        |input, args| {
            compressed(input, args, |data| {
                /// The system that compressed it, in the head of the file.
                const UNIX: u8 = 3;
                let mut encoder =
                    flate2::GzBuilder::new().operating_system(UNIX).write(Vec::new(), Compression::default());
                encoder.write_all(data)?;
                encoder.finish()
            })
        },
    ),
    of_event(
        "gunzip",
        &[DATA],
        BINARY,
        "The bytes of a gzip file: gunzip(gzip('hello')) is 'hello'.",
        |input, args| restored("gunzip", input, &args[0], MultiGzDecoder::new(bytes(args, 0))),
    ),
    of_event(
        "zip",
        &[DATA],
        BINARY,
        "Compressed, without head and checksum: bin2hexstr(zip('hello')) is 'CB48CDC9C90700'.",
        |input, args| {
            compressed(input, args, |data| {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data)?;
                encoder.finish()
            })
        },
    ),
    of_event(
        "unzip",
        &[DATA],
        BINARY,
        "Restored from what has neither head nor checksum: unzip(hexstr2bin('CB48CDC9C90700')) is 'hello'.",
        |input, args| restored("unzip", input, &args[0], DeflateDecoder::new(bytes(args, 0))),
    ),
    of_event(
        "zip_compress",
        &[DATA],
        BINARY,
        "Compressed, with the head and checksum of zlib: bin2hexstr(zip_compress('hello')) is '789CCB48CDC9C90700062C0215'.",
        |input, args| {
            compressed(input, args, |data| {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data)?;
                encoder.finish()
            })
        },
    ),
    of_event(
        "zip_uncompress",
        &[DATA],
        BINARY,
        "Restored from what has the head and checksum of zlib: zip_uncompress(hexstr2bin('789CCB48CDC9C90700062C0215')) is 'hello'.",
        |input, args| restored("zip_uncompress", input, &args[0], ZlibDecoder::new(bytes(args, 0))),
    ),
];

fn compressed<'i>(
    input: &Input<'_>,
    args: &[Value<'_>],
    compress: impl Fn(&[u8]) -> std::io::Result<Vec<u8>>,
) -> Result<Value<'i>, Trouble> {
    /// What looking for repetitions costs, beside looking at a byte once.
    const WORK: usize = 8;
    let data = bytes(args, 0);
    input.pay(WORK * data.len())?;
    Ok(of_bytes(compress(data).expect("a Vec takes everything")))
}

fn restored<'i>(
    function: &'static str,
    input: &Input<'_>,
    from: &Value<'_>,
    mut decoder: impl Read,
) -> Result<Value<'i>, Trouble> {
    let mut whole = Vec::new();
    let mut part = [0; 8 << 10];
    loop {
        match decoder.read(&mut part) {
            Ok(0) => return Ok(of_bytes(whole)),
            Ok(length) => {
                input.pay(2 * length)?;
                if whole.len() + length > ROW_BYTES_MAX {
                    return Err(Trouble::TooLarge);
                }
                whole.extend_from_slice(&part[..length]);
            }
            Err(error) => {
                return Err(Trouble::Failed { function, why: format!("cannot restore {}: {error}", met(from)) });
            }
        }
    }
}
