//! The language, as tables.

use super::run;

#[test]
fn the_demo_rule_makes_its_row() {
    assert_eq!(
        run("SELECT clientid, topic, payload.t AS t, timestamp FROM \"demo/#\" WHERE payload.t > 0", br#"{"t":21.5}"#),
        r#"{"clientid":"c_steve","topic":"t/a","t":21.5,"timestamp":1653561612000}"#
    );
}
