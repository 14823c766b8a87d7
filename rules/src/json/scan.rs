//! One walk over the marks of a text: what it is made of, or that it is not JSON.
//!
//! Not here: why it is not. That takes a second, slower walk over the few texts that need it (`refusal`).

use super::marks::Blocks;
use super::place::{Kind, Place};
use super::text::escape_end;
use super::{DEPTH_MAX, PLACES_MAX, number};

/// In the place of the list or map around the outermost one.
const NOWHERE: usize = Place::END_MAX;

/// A text while its marks are walked.
struct Walk<'t, 'p> {
    bytes: &'t [u8],
    /// Marks of the block under way that were not taken yet.
    marks: u64,
    /// Where that block begins.
    base: usize,
    places: &'p mut [Place],
    count: usize,
}

/// Fills the beginning of `places` with the values and names of the text and says how many there are. Nothing is
/// returned if it is not JSON or over a limit.
///
/// While a list or map is open, its end is the place of the one around it.
pub(super) fn scan(bytes: &[u8], places: &mut Vec<Place>) -> Option<usize> {
    // Two values or names have at least one byte between them.
    let room = (bytes.len() / 2 + 1).min(PLACES_MAX);
    if places.len() < room {
        places.resize(room, Place::default());
    }
    let mut blocks = Blocks::new(bytes);
    let mut walk = Walk { bytes, marks: 0, base: 0, places: &mut places[..room], count: 0 };
    let mut at = walk.next(&mut blocks)?;
    let mut byte = walk.byte(at)?;
    if byte != b'{' && byte != b'[' {
        walk.scalar(at, byte, &mut blocks)?;
        return walk.finish(&mut blocks);
    }
    // The innermost list or map that is open: its place, and whether it is a map.
    let mut open = NOWHERE;
    let mut in_map = false;
    let mut depth = 0;
    loop {
        // Here a value begins.
        if byte == b'{' || byte == b'[' {
            if depth == DEPTH_MAX {
                return None;
            }
            let place = walk.count;
            let map = byte == b'{';
            walk.push(Place::new(if map { Kind::Map } else { Kind::List }, at, open))?;
            at = walk.next(&mut blocks)?;
            byte = walk.byte(at)?;
            depth += 1;
            open = place;
            in_map = map;
            if byte != if map { b'}' } else { b']' } {
                if map {
                    at = walk.name(at, byte, &mut blocks)?;
                    byte = walk.byte(at)?;
                }
                continue;
            }
        } else {
            walk.scalar(at, byte, &mut blocks)?;
            at = walk.next(&mut blocks)?;
            byte = walk.byte(at)?;
        }
        // Here a value has ended, or a list or map without any begun.
        while byte != b',' {
            if byte != if in_map { b'}' } else { b']' } {
                return None;
            }
            let closed = walk.places.get_mut(open)?;
            open = closed.end();
            *closed = closed.ended(walk.count);
            depth -= 1;
            if depth == 0 {
                return walk.finish(&mut blocks);
            }
            in_map = walk.places.get(open)?.kind() == Kind::Map;
            at = walk.next(&mut blocks)?;
            byte = walk.byte(at)?;
        }
        at = walk.next(&mut blocks)?;
        byte = walk.byte(at)?;
        if in_map {
            at = walk.name(at, byte, &mut blocks)?;
            byte = walk.byte(at)?;
        }
    }
}

impl Walk<'_, '_> {
    /// The next mark.
    #[inline(always)]
    fn next(&mut self, blocks: &mut Blocks<'_>) -> Option<usize> {
        if self.marks == 0 {
            self.marks = blocks.load()?;
            self.base = blocks.base();
        }
        let at = self.base + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(at)
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    #[inline(always)]
    fn push(&mut self, place: Place) -> Option<()> {
        *self.places.get_mut(self.count)? = place;
        self.count += 1;
        Some(())
    }

    /// After the outermost value nothing may come.
    #[inline(always)]
    fn finish(&mut self, blocks: &mut Blocks<'_>) -> Option<usize> {
        (self.next(blocks).is_none() && blocks.are_done()).then_some(self.count)
    }

    /// A member's name and its colon; gives the mark of its value.
    #[inline(always)]
    fn name(&mut self, at: usize, byte: u8, blocks: &mut Blocks<'_>) -> Option<usize> {
        if byte != b'"' {
            return None;
        }
        self.text(at, blocks)?;
        let colon = self.next(blocks)?;
        if self.byte(colon)? != b':' {
            return None;
        }
        self.next(blocks)
    }

    /// A text: after the mark of its first quote the next one is that of its last.
    #[inline(always)]
    fn text(&mut self, quote: usize, blocks: &mut Blocks<'_>) -> Option<()> {
        let end = self.next(blocks)?;
        let mut kind = Kind::Plain;
        if blocks.backslash_end() > quote {
            kind = escapes(self.bytes, quote + 1, end)?;
        }
        self.push(Place::new(kind, quote + 1, end))
    }

    #[inline(always)]
    fn scalar(&mut self, at: usize, byte: u8, blocks: &mut Blocks<'_>) -> Option<()> {
        if byte == b'"' {
            return self.text(at, blocks);
        }
        let (kind, end) = match byte {
            b'-' | b'0'..=b'9' => (Kind::Number, number::end(self.bytes, at).ok()?),
            b't' => (Kind::True, literal(self.bytes, at, b"true")?),
            b'f' => (Kind::False, literal(self.bytes, at, b"false")?),
            b'n' => (Kind::Null, literal(self.bytes, at, b"null")?),
            _ => return None,
        };
        // More letters or a quote must not touch it; what else may follow shows at the next mark.
        match self.byte(end) {
            None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') => self.push(Place::new(kind, at, end)),
            _ => None,
        }
    }
}

/// Checks the escapes of a text that may have some.
#[inline(never)]
fn escapes(bytes: &[u8], start: usize, end: usize) -> Option<Kind> {
    let mut at = start;
    while let Some(ahead) = memchr::memchr(b'\\', bytes.get(at..end)?) {
        at = escape_end(bytes, at + ahead).ok()?;
    }
    Some(if at == start { Kind::Plain } else { Kind::Escaped })
}

#[inline(always)]
fn literal(bytes: &[u8], start: usize, word: &[u8]) -> Option<usize> {
    let end = start + word.len();
    (bytes.get(start..end)? == word).then_some(end)
}
