//! Why a text is not JSON, and at which byte: one plain walk, for texts that the scanner has refused.

use super::text::escape_end;
use super::{DEPTH_MAX, JsonError, PLACES_MAX, number};

/// What is wrong with the text, in the order of reading.
#[cold]
pub(super) fn refusal(bytes: &[u8]) -> JsonError {
    let mut walk = Walk { bytes, at: 0, places: 0 };
    match walk.values() {
        Err(error) => error,
        Ok(()) => {
            debug_assert!(false, "the scanner refuses nothing else");
            JsonError::NotJson(bytes.len())
        }
    }
}

struct Walk<'t> {
    bytes: &'t [u8],
    at: usize,
    places: usize,
}

impl Walk<'_> {
    fn values(&mut self) -> Result<(), JsonError> {
        // The open lists and maps: whether each is a map.
        let mut open = [false; DEPTH_MAX];
        let mut depth = 0;
        loop {
            self.skip_blanks();
            let mut closed = true;
            match self.peek() {
                Some(first @ (b'{' | b'[')) => {
                    let map = first == b'{';
                    self.count()?;
                    self.at += 1;
                    if depth == DEPTH_MAX {
                        return Err(JsonError::TooDeep);
                    }
                    self.skip_blanks();
                    if self.peek() == Some(if map { b'}' } else { b']' }) {
                        self.at += 1;
                    } else {
                        open[depth] = map;
                        depth += 1;
                        closed = false;
                        if map {
                            self.name()?;
                        }
                    }
                }
                _ => self.scalar()?,
            }
            while closed {
                self.skip_blanks();
                if depth == 0 {
                    return if self.at == self.bytes.len() { Ok(()) } else { self.fail() };
                }
                let map = open[depth - 1];
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if map {
                            self.skip_blanks();
                            self.name()?;
                        }
                        closed = false;
                    }
                    Some(b'}') if map => {
                        self.at += 1;
                        depth -= 1;
                    }
                    Some(b']') if !map => {
                        self.at += 1;
                        depth -= 1;
                    }
                    _ => return self.fail(),
                }
            }
        }
    }

    const fn fail<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::NotJson(self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    const fn count(&mut self) -> Result<(), JsonError> {
        if self.places == PLACES_MAX {
            return Err(JsonError::TooMany);
        }
        self.places += 1;
        Ok(())
    }

    fn name(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.fail();
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => {
                self.at = number::end(self.bytes, self.at).map_err(JsonError::NotJson)?;
                self.count()
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.fail(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.fail();
        }
        self.at += word.len();
        self.count()
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return self.count();
                }
                Some(b'\\') => self.at = escape_end(self.bytes, self.at).map_err(JsonError::NotJson)?,
                Some(0..=0x1f) | None => return self.fail(),
                Some(_) => self.at += 1,
            }
        }
    }
}
