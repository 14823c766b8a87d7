//! The archives that EMQX 5 exports: a gzipped tar with `NAME/cluster.hocon` in it.
//!
//! Only what that needs is read: plain files of the tar, by their short names. How far it is unpacked is bounded, so that
//! a small file cannot fill the memory.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::source::TEXT_BYTES_MAX;

/// Bytes of an archive that are unpacked at most, the tables of its built-in database included.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;
const BLOCK: usize = 512;

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path there.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Whether the bytes begin as gzip does.
#[must_use]
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The config in the archive.
///
/// # Errors
/// It is no gzipped tar, is too large, or has no config in it.
pub fn config_of(bytes: &[u8]) -> Result<Found, String> {
    let mut tar = MultiGzDecoder::new(bytes).take(UNPACKED_BYTES_MAX);
    let mut header = [0; BLOCK];
    let mut first = true;
    while filled(&mut tar, &mut header)? {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let (name, size) = entry(&header).ok_or_else(|| {
            if first { "it is compressed, but no tar archive" } else { "its tar archive is damaged" }.to_owned()
        })?;
        first = false;
        let padded = size.div_ceil(BLOCK as u64) * BLOCK as u64;
        let is_file = matches!(header[156], b'0' | 0);
        if is_file && matches!(name.rsplit('/').next(), Some("cluster.hocon" | "cluster.json")) {
            if size > TEXT_BYTES_MAX {
                return Err(format!("{name} in it is larger than {} MiB", TEXT_BYTES_MAX >> 20));
            }
            let mut bytes = Vec::new();
            let read = (&mut tar).take(size).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            if read as u64 != size {
                return Err(format!("it ends inside {name}"));
            }
            return Ok(Found { name, bytes });
        }
        let skipped = std::io::copy(&mut (&mut tar).take(padded), &mut std::io::sink()).map_err(|e| damaged(&e))?;
        if skipped != padded {
            return Err(format!("it ends inside {name}, before its cluster.hocon"));
        }
    }
    Err("the archive has no cluster.hocon in it".to_owned())
}

fn damaged(error: &std::io::Error) -> String {
    format!("it is no whole gzip file: {error}")
}

/// Fills the block; false at the end of the archive.
fn filled(tar: &mut impl Read, block: &mut [u8; BLOCK]) -> Result<bool, String> {
    let mut at = 0;
    while at < BLOCK {
        match tar.read(&mut block[at..]) {
            Ok(0) if at == 0 => return Ok(false),
            Ok(0) => return Err("its tar archive ends inside a header".to_owned()),
            Ok(read) => at += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(&error)),
        }
    }
    Ok(true)
}

/// Name and size, if it is a header: its checksum must be right.
fn entry(header: &[u8; BLOCK]) -> Option<(String, u64)> {
    let sum: u32 =
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    if octal(&header[148..156])? != u64::from(sum) {
        return None;
    }
    let end = |field: &[u8]| field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let name = &header[..100];
    let name = String::from_utf8_lossy(&name[..end(name)]).into_owned();
    Some((name, octal(&header[124..136])?))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn header(name: &str, size: u64) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    /// An archive of these files.
    pub(in super::super) fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        for (name, bytes) in files {
            gzip.write_all(&header(name, bytes.len() as u64)).expect("memory takes it");
            gzip.write_all(bytes).expect("memory takes it");
            gzip.write_all(&vec![0; bytes.len().div_ceil(BLOCK) * BLOCK - bytes.len()]).expect("memory takes it");
        }
        gzip.write_all(&[0; 2 * BLOCK]).expect("memory takes it");
        gzip.finish().expect("memory takes it")
    }

    #[test]
    fn the_config_is_found_behind_other_files() {
        let table = vec![7; 3000];
        let archive =
            pack(&[("x/META.hocon", b"version = \"5.8.0\""), ("x/mnesia/t", &table), ("x/cluster.hocon", b"a = 1")]);
        assert!(is_gzip(&archive));
        let found = config_of(&archive).expect("it is there");
        assert_eq!((found.name.as_str(), found.bytes.as_slice()), ("x/cluster.hocon", b"a = 1".as_slice()));
    }

    #[test]
    fn what_is_no_archive_is_refused_by_name() {
        let whole = pack(&[("x/cluster.hocon", &[b'#'; 5000])]);
        let mut huge = GzEncoder::new(Vec::new(), Compression::fast());
        huge.write_all(&header("x/cluster.hocon", TEXT_BYTES_MAX + 1)).expect("memory takes it");
        let mut text = GzEncoder::new(Vec::new(), Compression::fast());
        text.write_all(&[b'x'; 600]).expect("memory takes it");
        for (bytes, words) in [
            (pack(&[("x/META.hocon", b"")]), "has no cluster.hocon"),
            (whole[..whole.len() / 2].to_vec(), "gzip"),
            (b"\x1f\x8bnothing of the kind".to_vec(), "gzip"),
            (huge.finish().expect("memory takes it"), "larger than 32 MiB"),
            (text.finish().expect("memory takes it"), "no tar archive"),
        ] {
            let error = config_of(&bytes).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
