//! Topic Filters, shared or not: parse and match.

use std::fmt;

use memchr::memchr2;
use thiserror::Error;

use super::name::TopicLimits;
use crate::reason_code::ReasonCode;

/// A Topic Filter without a share prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `text` by section 4.7 and against `limits`. A share prefix is taken as ordinary levels.
    pub fn parse(text: &'a str, limits: TopicLimits) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Err(FilterError::Empty);
        }
        check_bytes(text, limits)?;
        if let Some(at) = memchr::memchr(0, text.as_bytes()) {
            return Err(FilterError::Null { at });
        }
        let levels = memchr::memchr_iter(b'/', text.as_bytes()).count() + 1;
        if levels > usize::from(limits.levels) {
            return Err(FilterError::TooDeep { levels, limit: limits.levels });
        }
        if has_wildcards(text) {
            check_wildcards(text)?;
        }
        Ok(Self(text))
    }

    /// The filter as text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether a topic matches it.
    #[must_use]
    pub fn matches(self, topic: &str) -> bool {
        matches(self.0, topic)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whose turn it is among the members of a shared subscription: which group they form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share<'a> {
    /// `$share/{group}/`.
    Group(&'a str),
    /// `$queue/`: one group without a name, apart from all groups that have one.
    Queue,
}

impl<'a> Share<'a> {
    /// Takes the share prefix off a text that [`Subscription::parse`] has accepted.
    #[must_use]
    pub fn split(text: &'a str) -> (Option<Self>, &'a str) {
        if let Some(filter) = text.strip_prefix("$queue/") {
            return (Some(Self::Queue), filter);
        }
        match text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((group, filter)) => (Some(Self::Group(group)), filter),
            None => (None, text),
        }
    }
}

/// What the text of one entry of a SUBSCRIBE or UNSUBSCRIBE means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription<'a> {
    /// The group, if it is shared.
    pub share: Option<Share<'a>>,
    /// The Topic Filter behind the share prefix.
    pub filter: &'a str,
}

impl<'a> Subscription<'a> {
    /// Takes the share prefix off (section 4.8.2) and checks what is behind it. `limits.bytes` counts the whole text,
    /// `limits.levels` those of the filter.
    pub fn parse(text: &'a str, limits: TopicLimits) -> Result<Self, FilterError> {
        check_bytes(text, limits)?;
        let (share, filter) = if let Some(rest) = text.strip_prefix("$share/") {
            let (group, filter) = rest.split_once('/').ok_or(FilterError::ShareUnfinished)?;
            if group.is_empty() {
                return Err(FilterError::ShareNameEmpty);
            }
            if let Some(at) = memchr2(b'+', b'#', group.as_bytes()) {
                return Err(FilterError::ShareNameWildcard { found: char::from(group.as_bytes()[at]) });
            }
            if let Some(at) = memchr::memchr(0, group.as_bytes()) {
                let at = at + "$share/".len();
                return Err(FilterError::Null { at });
            }
            (Some(Share::Group(group)), filter)
        } else if let Some(filter) = text.strip_prefix("$queue/") {
            (Some(Share::Queue), filter)
        } else {
            (None, text)
        };
        if share.is_some() {
            if filter.is_empty() {
                return Err(FilterError::ShareUnfinished);
            }
            if filter.starts_with("$share/") || filter.starts_with("$queue/") {
                return Err(FilterError::ShareTwice);
            }
        }
        TopicFilter::parse(filter, limits)?;
        Ok(Self { share, filter })
    }
}

impl fmt::Display for Subscription<'_> {
    /// The text that it was parsed from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            Some(Share::Group(group)) => write!(f, "$share/{group}/{}", self.filter),
            Some(Share::Queue) => write!(f, "$queue/{}", self.filter),
            None => f.write_str(self.filter),
        }
    }
}

/// Why some text is no Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// No character at all.
    #[error("[MQTT-4.7.3-1] the topic filter is empty")]
    Empty,
    /// U+0000.
    #[error("[MQTT-4.7.3-2] the topic filter has U+0000 at byte {at}")]
    Null {
        /// Byte offset.
        at: usize,
    },
    /// `#` with something beside it in its level.
    #[error("[MQTT-4.7.1-1] `#` must be a whole level, and level {level} has more")]
    ManyNotAlone {
        /// Level, counted from 1.
        level: usize,
    },
    /// `#` before the last level.
    #[error("[MQTT-4.7.1-1] `#` must be the last level, and is level {level}")]
    ManyNotLast {
        /// Level, counted from 1.
        level: usize,
    },
    /// `+` with something beside it in its level.
    #[error("[MQTT-4.7.1-2] `+` must be a whole level, and level {level} has more")]
    OneNotAlone {
        /// Level, counted from 1.
        level: usize,
    },
    /// `$share//…`.
    #[error("[MQTT-4.8.2-1] the share name is empty")]
    ShareNameEmpty,
    /// A wildcard in the share name.
    #[error("[MQTT-4.8.2-2] the share name has `{found}`")]
    ShareNameWildcard {
        /// `+` or `#`.
        found: char,
    },
    /// No filter behind the share prefix.
    #[error("[MQTT-4.8.2-2] the shared subscription has no topic filter behind its prefix")]
    ShareUnfinished,
    /// A share prefix behind a share prefix.
    #[error("the shared subscription has a second share prefix; write one")]
    ShareTwice,
    /// More bytes than the limit.
    #[error("the topic filter has {bytes} bytes, over the limit of {limit}")]
    TooLong {
        /// Bytes met.
        bytes: usize,
        /// Bytes allowed.
        limit: u16,
    },
    /// More levels than the limit.
    #[error("the topic filter has {levels} levels, over the limit of {limit}")]
    TooDeep {
        /// Levels met.
        levels: usize,
        /// Levels allowed.
        limit: u16,
    },
}

impl FilterError {
    /// What the client is told.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        ReasonCode::TopicFilterInvalid
    }
}

/// Whether `filter` has a wildcard character.
#[must_use]
pub fn has_wildcards(filter: &str) -> bool {
    memchr2(b'+', b'#', filter.as_bytes()).is_some()
}

/// Whether `topic` matches `filter` (section 4.7), both valid: level by level, and with nothing but the two texts.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic) = (filter.as_bytes(), topic.as_bytes());
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    // Both stand at the start of a level whenever the loop begins.
    let (mut at, mut met) = (0, 0);
    loop {
        match filter.get(at) {
            Some(b'#') => return true,
            Some(b'+') => {
                at += 1;
                while topic.get(met).is_some_and(|byte| *byte != b'/') {
                    met += 1;
                }
            }
            _ => {
                while let Some(byte) = filter.get(at).filter(|byte| **byte != b'/') {
                    if topic.get(met) != Some(byte) {
                        return false;
                    }
                    at += 1;
                    met += 1;
                }
            }
        }
        match (filter.get(at), topic.get(met)) {
            (None, None) => return true,
            (Some(b'/'), Some(b'/')) => {
                at += 1;
                met += 1;
            }
            // The parent: `sport/#` matches `sport`.
            (Some(b'/'), None) => return filter[at..] == *b"/#",
            _ => return false,
        }
    }
}

fn check_bytes(text: &str, limits: TopicLimits) -> Result<(), FilterError> {
    if text.len() > usize::from(limits.bytes) {
        return Err(FilterError::TooLong { bytes: text.len(), limit: limits.bytes });
    }
    Ok(())
}

fn check_wildcards(text: &str) -> Result<(), FilterError> {
    let mut levels = text.split('/').enumerate().peekable();
    while let Some((at, level)) = levels.next() {
        let number = at + 1;
        if level == "#" {
            if levels.peek().is_some() {
                return Err(FilterError::ManyNotLast { level: number });
            }
        } else if level.contains('#') {
            return Err(FilterError::ManyNotAlone { level: number });
        } else if level != "+" && level.contains('+') {
            return Err(FilterError::OneNotAlone { level: number });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: TopicLimits = TopicLimits { levels: 3, bytes: 24 };

    #[test]
    fn wildcards_are_whole_levels_and_many_is_last() {
        for good in ["#", "+", "a/#", "+/+", "/+", "+/", "/#", "+/b/#", "$SYS/#"] {
            assert_eq!(TopicFilter::parse(good, SMALL).map(TopicFilter::as_str), Ok(good));
        }
        let cases = [
            ("", FilterError::Empty),
            ("a\0", FilterError::Null { at: 1 }),
            ("#/a", FilterError::ManyNotLast { level: 1 }),
            ("a/#/", FilterError::ManyNotLast { level: 2 }),
            ("##", FilterError::ManyNotAlone { level: 1 }),
            ("a/b#", FilterError::ManyNotAlone { level: 2 }),
            ("+#", FilterError::ManyNotAlone { level: 1 }),
            ("a+", FilterError::OneNotAlone { level: 1 }),
            ("a/++/b", FilterError::OneNotAlone { level: 2 }),
        ];
        for (text, error) in cases {
            assert_eq!(TopicFilter::parse(text, SMALL), Err(error), "{text:?}");
            assert!(error.to_string().starts_with("[MQTT-"), "{error}");
        }
    }

    #[test]
    fn limits_hold_at_their_bounds() {
        assert!(TopicFilter::parse("a/b/#", SMALL).is_ok());
        let error = FilterError::TooDeep { levels: 4, limit: 3 };
        assert_eq!(TopicFilter::parse("a/b/c/#", SMALL), Err(error));
        let long = "x".repeat(25);
        let error = FilterError::TooLong { bytes: 25, limit: 24 };
        assert_eq!(TopicFilter::parse(&long, SMALL), Err(error));
        assert_eq!(Subscription::parse(&long, SMALL), Err(error));
        assert!(Subscription::parse("$share/g/a/b/c", SMALL).is_ok());
    }

    #[test]
    fn shares_are_told_apart() {
        let parse = |text| Subscription::parse(text, SMALL).map(|s| (s.share, s.filter));
        assert_eq!(parse("a/+"), Ok((None, "a/+")));
        assert_eq!(parse("$share/g/a/#"), Ok((Some(Share::Group("g")), "a/#")));
        assert_eq!(parse("$share/g//"), Ok((Some(Share::Group("g")), "/")));
        assert_eq!(parse("$queue/a"), Ok((Some(Share::Queue), "a")));
        assert_eq!(parse("$queue//"), Ok((Some(Share::Queue), "/")));
        assert_eq!(parse("$share"), Ok((None, "$share")));
        assert_eq!(parse("$queues/a"), Ok((None, "$queues/a")));
        assert_eq!(parse("$share/"), Err(FilterError::ShareUnfinished));
        assert_eq!(parse("$share/g"), Err(FilterError::ShareUnfinished));
        assert_eq!(parse("$share/g/"), Err(FilterError::ShareUnfinished));
        assert_eq!(parse("$queue/"), Err(FilterError::ShareUnfinished));
        assert_eq!(parse("$share//a"), Err(FilterError::ShareNameEmpty));
        assert_eq!(parse("$share/a\0/a"), Err(FilterError::Null { at: "$share/a".len() }));
        for found in ['+', '#'] {
            assert_eq!(
                Subscription::parse(&format!("$share/a{found}/b"), SMALL),
                Err(FilterError::ShareNameWildcard { found })
            );
        }
        assert_eq!(parse("$share/g/$queue/a"), Err(FilterError::ShareTwice));
        assert_eq!(parse("$queue/a/#/b"), Err(FilterError::ManyNotLast { level: 2 }));
    }

    #[test]
    fn matching_follows_section_4_7() {
        let cases = [
            ("sport/#", "sport", true),
            ("sport/#", "sport/", true),
            ("sport/#", "sport/a/b", true),
            ("sport/#", "sports", false),
            ("#", "a/b", true),
            ("#", "/", true),
            ("+", "a", true),
            ("+", "a/b", false),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/#", "sport", true),
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("+/#", "$SYS", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("/#", "/$a", true),
            ("a/#", "a/$b", true),
            ("ACCOUNTS", "Accounts", false),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    /// Section 4.7 as lists of levels, by recursion.
    fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
            ([one, filter @ ..], [other, topic @ ..]) => one == other && levels_match(filter, topic),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_a_comparison_of_levels_says(
            filter in "[$]?([ab]?|[+])(/([ab]{0,2}|[+])){0,4}(/#)?",
            topic in "[$]?[ab]{0,2}(/[ab]{0,2}){0,5}",
        ) {
            let levels = |text: &'_ str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
            let (filter_levels, topic_levels) = (levels(&filter), levels(&topic));
            let filter_levels: Vec<&str> = filter_levels.iter().map(String::as_str).collect();
            let topic_levels: Vec<&str> = topic_levels.iter().map(String::as_str).collect();
            let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
            let expected = !hidden && levels_match(&filter_levels, &topic_levels);
            if TopicFilter::parse(&filter, TopicLimits::PROTOCOL).is_ok() && !topic.is_empty() {
                prop_assert_eq!(matches(&filter, &topic), expected);
            }
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "([$](share|queue)/)?([a\\x00+#/]|\\PC){0,12}") {
            if let Ok(subscription) = Subscription::parse(&text, SMALL) {
                prop_assert_eq!(subscription.to_string(), &*text);
                prop_assert!(TopicFilter::parse(subscription.filter, SMALL).is_ok());
                for level in subscription.filter.split('/') {
                    prop_assert!(level.len() == 1 || !has_wildcards(level));
                }
            }
            let _ = matches(&text, &text);
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let topic = "/".repeat(65_400);
        let mut filter = "+/".repeat(32_000);
        filter.push('#');
        assert!(matches(&filter, &topic));
        assert!(!matches(&"/".repeat(65_399), &topic));
    }
}
