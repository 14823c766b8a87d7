//! The host's time zone, read once.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds that clocks of the host are ahead of UTC at this moment, seconds since 1970-01-01T00:00:00Z. Without a zone
/// that can be read it is UTC.
pub(super) fn offset_at(seconds: i64) -> i64 {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    offset_in(ZONE.get_or_init(TimeZone::system), seconds)
}

fn offset_in(zone: &TimeZone, seconds: i64) -> i64 {
    Timestamp::from_second(seconds).map_or(0, |at| zone.to_offset(at).seconds().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_may_change_its_offset_with_the_date() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        assert_eq!(offset_in(&zone, 1_653_561_612), 7200);
        assert_eq!(offset_in(&zone, 1_640_995_200), 3600);
        assert_eq!(offset_in(&zone, i64::MAX), 0);
    }
}
