//! Topic Filters as FROM and `=~` have them.

/// Whether this is a Topic Filter.
///
/// # Errors
/// Why not.
pub(crate) fn check(filter: &str) -> Result<(), &'static str> {
    if filter.is_empty() {
        return Err("it is empty");
    }
    if filter.len() > millrace_core::limits::FIELD_BYTES_MAX {
        return Err("it has more than 65,535 bytes");
    }
    if filter.contains('\0') {
        return Err("it has a null character");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level == "#" && levels.peek().is_some() {
            return Err("# is the last level or none");
        }
        if level.len() > 1 && level.contains(['#', '+']) {
            return Err("# and + are whole levels");
        }
    }
    Ok(())
}

/// Whether a Topic Name matches a Topic Filter.
pub(crate) fn matches(topic: &str, filter: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_and_matched() {
        for good in ["#", "+", "a/+/b", "/", "a//#", "$SYS/#"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a/#/b", "a#", "a/b+", "\0"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for (topic, filter, expected) in [
            ("a/b", "a/#", true),
            ("a", "a/#", true),
            ("a/b", "a/+", true),
            ("a", "a/+", false),
            ("a/b/c", "a/+", false),
            ("$SYS/x", "#", false),
            ("$SYS/x", "$SYS/#", true),
        ] {
            assert_eq!(matches(topic, filter), expected, "{topic} {filter}");
        }
    }
}
