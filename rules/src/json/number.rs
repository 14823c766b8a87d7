//! Numbers of JSON: what is one, and its value.

use millrace_core::value::Value;

/// The byte after the number that begins here; where it stops being one, if it does.
#[inline]
pub(super) fn end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    if bytes.get(at) == Some(&b'0') {
        at += 1;
    } else {
        at = digits_end(bytes, at)?;
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

/// The byte after at least one digit; where that is not, if it is not.
#[inline]
fn digits_end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start { Err(at) } else { Ok(at) }
}

/// Reads a number as JSON writes it; a whole one beyond 64 bits with sign is the nearest float.
#[must_use]
#[inline]
pub fn number(text: &str) -> Option<Value<'static>> {
    short(text.as_bytes()).or_else(|| long(text))
}

/// Numbers of up to 15 digits without an exponent: their digits as a whole number are exact in a float, and so is the
/// power of ten that they are divided by, so that the quotient is the nearest float.
#[inline]
fn short(bytes: &[u8]) -> Option<Value<'static>> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // A point takes a place too.
    if digits.is_empty() || digits.len() > DIGITS_MAX + 1 {
        return None;
    }
    let mut whole = 0_i64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            whole = whole * 10 + i64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let Some(point) = point else {
        return Some(Value::Int(if negative { -whole } else { whole }));
    };
    let fraction = digits.len() - 1 - point;
    if point == 0 || fraction == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "15 digits are exact in a float")]
    let value = whole as f64 / POWERS[fraction];
    Some(Value::Float(if negative { -value } else { value }))
}

#[cold]
fn long(text: &str) -> Option<Value<'static>> {
    if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        && let Ok(whole) = text.parse()
    {
        return Some(Value::Int(whole));
    }
    text.parse().ok().and_then(Value::float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_what_the_standard_library_reads() {
        let mut state = 3_u64;
        for round in 0..200_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = ((state >> 20) % 10_u64.pow(1 + (round % 16) as u32)).to_string();
            let sign = if state >> 63 == 0 { "" } else { "-" };
            let text = format!("{sign}{digits}");
            assert_eq!(number(&text), text.parse().ok().map(Value::Int), "{text}");
            let point = (state >> 8) as usize % (digits.len() + 1);
            let text = format!("{sign}{}.{}", &digits[..point], &digits[point..]);
            let Some(Value::Float(value)) = number(&text) else { panic!("{text}") };
            assert_eq!(value.to_bits(), text.parse::<f64>().expect("a float").to_bits(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "-.", "1.2.3", "1e", "e5", "--1", "a", "1a", "0x1"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("9223372036854775807"), Some(Value::Int(i64::MAX)));
        assert_eq!(number("1e400"), None);
        assert_eq!(number("-0"), Some(Value::Int(0)));
    }
}
