//! Send buffer: what goes to one connection in one send: bytes, and large payloads between them that lie elsewhere.
//!
//! Small payloads are copied behind their heads, which is cheaper than a reference count; a large one is sent from
//! the memory it arrived in, whoever else still reads it.
//!
//! Invariants: parts are in the order of their places, none is empty, and there are at most `PARTS_MAX`.

use bytes::Bytes;

/// A send has at most 1,024 slices (`UIO_MAXIOV`), two for each part and one behind the last.
const PARTS_MAX: usize = 500;
/// Parts for which an idle buffer keeps room.
const PARTS_KEPT: usize = 16;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct SendBuffer {
    /// Everything but the parts.
    pub bytes: Vec<u8>,
    parts: Option<Box<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    list: Vec<Part>,
    /// Bytes of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    /// How many of [`SendBuffer::bytes`] go before it.
    at: usize,
    payload: Bytes,
    /// It holds much more memory than its own.
    passing: bool,
}

impl From<Vec<u8>> for SendBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, parts: None }
    }
}

impl SendBuffer {
    /// Appends a payload, by reference if there is room for one more.
    pub fn push(&mut self, payload: Bytes) {
        self.push_part(payload, false);
    }

    /// Appends a payload whose memory should be free again soon: see [`settle`](Self::settle).
    pub fn push_passing(&mut self, payload: Bytes) {
        self.push_part(payload, true);
    }

    fn push_part(&mut self, payload: Bytes, passing: bool) {
        let parts = self.parts.get_or_insert_default();
        if payload.is_empty() || parts.list.len() == PARTS_MAX {
            self.bytes.extend_from_slice(&payload);
            return;
        }
        parts.bytes += payload.len();
        parts.list.push(Part { at: self.bytes.len(), payload, passing });
    }

    /// Appends what another one holds.
    pub fn append(&mut self, other: &Self) {
        let mut from = 0;
        for part in other.parts.iter().flat_map(|parts| &parts.list) {
            self.bytes.extend_from_slice(&other.bytes[from..part.at]);
            self.push_part(part.payload.clone(), part.passing);
            from = part.at;
        }
        self.bytes.extend_from_slice(&other.bytes[from..]);
    }

    /// It must wait: what was only passing is copied, so that a slow peer holds no more memory than its own output.
    pub fn settle(&mut self) {
        for part in self.parts.iter_mut().flat_map(|parts| &mut parts.list) {
            if std::mem::take(&mut part.passing) {
                part.payload = Bytes::copy_from_slice(&part.payload);
            }
        }
    }

    /// How many bytes go out.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.parts.as_ref().map_or(0, |parts| parts.bytes)
    }

    /// Whether nothing goes out.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        // A part has a head before it.
        self.bytes.is_empty()
    }

    /// Whether all of it lies in [`bytes`](Self::bytes).
    #[must_use]
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.list.is_empty())
    }

    /// Forgets what it holds; the room stays.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        if let Some(parts) = &mut self.parts {
            parts.list.clear();
            parts.list.shrink_to(PARTS_KEPT);
            parts.bytes = 0;
        }
    }

    /// What goes out behind the first `skip` bytes.
    pub fn slices(&self, mut skip: usize) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.as_ref().map_or(&[][..], |parts| &parts.list);
        let places = [0].into_iter().chain(parts.iter().map(|part| part.at));
        let heads = places.zip(parts.iter().map(|part| part.at).chain([self.bytes.len()]));
        let payloads = parts.iter().map(|part| &part.payload[..]).chain([&[][..]]);
        heads.zip(payloads).flat_map(|((from, to), payload)| [&self.bytes[from..to], payload]).filter_map(
            move |slice| {
                let skipped = skip.min(slice.len());
                skip -= skipped;
                (skipped < slice.len()).then(|| &slice[skipped..])
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SendBuffer {
        let mut out = SendBuffer::from(b"ab".to_vec());
        out.push(Bytes::from_static(b"CDE"));
        out.bytes.extend_from_slice(b"f");
        out.push(Bytes::from_static(b"GH"));
        out
    }

    fn joined(out: &SendBuffer, skip: usize) -> Vec<u8> {
        out.slices(skip).collect::<Vec<_>>().concat()
    }

    #[test]
    fn slices_are_what_was_put_in_from_any_byte_on() {
        let out = sample();
        assert_eq!((out.len(), out.is_empty(), out.is_whole()), (8, false, false));
        for skip in 0..=out.len() {
            assert_eq!(joined(&out, skip), b"abCDEfGH"[skip..]);
            assert!(out.slices(skip).all(|slice| !slice.is_empty()));
        }
        assert_eq!(joined(&SendBuffer::from(b"xyz".to_vec()), 1), b"yz");
        assert_eq!(SendBuffer::default().slices(0).count(), 0);
    }

    #[test]
    fn what_is_appended_comes_behind() {
        let mut out = sample();
        out.append(&sample());
        out.bytes.push(b'i');
        assert_eq!(joined(&out, 0), b"abCDEfGHabCDEfGHi");
        out.clear();
        assert_eq!((out.len(), out.is_empty(), out.is_whole()), (0, true, true));
        out.append(&SendBuffer::from(b"j".to_vec()));
        assert_eq!(joined(&out, 0), b"j");
    }

    #[test]
    fn what_must_wait_holds_its_own_memory_only() {
        let memory = Bytes::from(vec![b'x'; 100]);
        let mut out = SendBuffer::from(b"a".to_vec());
        out.push_passing(memory.slice(10..20));
        out.push(memory.slice(20..30));
        let places = |out: &SendBuffer| out.slices(0).map(<[u8]>::as_ptr).collect::<Vec<_>>();
        let before = places(&out);
        out.settle();
        let after = places(&out);
        assert_ne!(before[1], after[1], "copied");
        assert_eq!(before[2], after[2]);
        assert_eq!(joined(&out, 0), [b"a", &[b'x'; 20][..]].concat());
    }

    #[test]
    fn more_parts_than_one_send_takes_are_copied() {
        let mut out = SendBuffer::default();
        for _ in 0..PARTS_MAX + 10 {
            out.bytes.push(b'-');
            out.push(Bytes::from_static(b"+"));
        }
        assert_eq!(out.slices(0).count(), 2 * PARTS_MAX + 1);
        assert_eq!(joined(&out, 0), b"-+".repeat(PARTS_MAX + 10));
    }
}
