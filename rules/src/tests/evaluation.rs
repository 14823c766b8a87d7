//! How rules are evaluated for a message, and counted.

use super::{config, evaluate, event};
use crate::{Input, Outcome, Rows, RuleConfig, RuleCounts, Rules, Scratch};

#[test]
fn rules_count_what_happened_and_clones_count_for_themselves() {
    let mut rules = Rules::compile(&[("r", config("SELECT 1 / payload.z AS a FROM \"t\" WHERE payload.z >= 0"))])
        .expect("a good rule");
    let mut scratch = Scratch::default();
    for payload in ["{\"z\":1}", "{\"z\":2}", "{\"z\":0}", "{\"z\":-1}", "x"] {
        let input = Input::publish(event("t", payload.as_bytes()), &mut scratch);
        evaluate(&mut rules, &input);
    }
    let counts = RuleCounts { matched: 5, passed: 2, no_result: 1, failed: 2 };
    assert_eq!(rules.as_slice()[0].counts(), counts);
    let other_shard = rules.clone();
    assert_eq!(other_shard.as_slice()[0].counts(), RuleCounts::default());
    let mut sum = RuleCounts::default();
    sum += counts;
    sum += counts;
    assert_eq!(sum.matched, 10);
}

#[test]
fn rules_can_go_to_another_thread() {
    fn sendable<T: Send>(_: &T) {}
    let rules = Rules::compile(&[("r", config("SELECT * FROM \"t\""))]).expect("a good rule");
    sendable(&rules);
}

#[test]
fn a_rule_knows_its_filters_and_sinks_once_each() {
    let rules = Rules::compile(&[
        ("off", RuleConfig { enabled: false, ..config("SELECT * FROM \"x\"") }),
        (
            "on",
            RuleConfig {
                sinks: vec!["a".into(), "b".into(), "a".into()],
                ..config("SELECT qos, payload.a AS x.y FROM \"t/#\", 'u', \"t/#\"")
            },
        ),
    ])
    .expect("good rules");
    let [rule] = rules.as_slice() else {
        panic!("the rule that is off does not run");
    };
    assert_eq!((rule.number(), rule.name()), (0, "on"));
    assert_eq!(rule.filters(), ["t/#", "u"]);
    assert_eq!(rule.sinks(), ["a", "b"]);
    let names: Vec<_> = rule.columns().next().expect("of messages").names().iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["qos", "x"]);
}

#[test]
fn a_failure_names_its_place_and_the_value_met() {
    let sql = "SELECT payload.a - 1 AS x FROM \"t\"";
    let mut rules = Rules::compile(&[("r", config(sql))]).expect("a good rule");
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t", b"{\"a\":\"warm\"}"), &mut scratch);
    let outcome = rules.get_mut(0).expect("there").evaluate(&input, &mut Rows::default());
    let Outcome::Failed(error) = outcome else {
        panic!("it fails: {outcome:?}");
    };
    assert_eq!(&sql[error.span().start as usize..error.span().end as usize], "payload.a - 1");
    assert_eq!(error.to_string(), "R0302: `-` cannot take text 'warm' and integer 1");
}

#[test]
fn all_rules_share_one_look_into_the_payload() {
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t", b"{\"a\":1,\"b\":2}"), &mut scratch);
    for (sql, row) in
        [("SELECT payload.a AS v FROM \"t\"", "{\"v\":1}"), ("SELECT payload.b AS v FROM \"t\"", "{\"v\":2}")]
    {
        let mut rules = Rules::compile(&[("r", config(sql))]).expect("a good rule");
        assert_eq!(evaluate(&mut rules, &input), row);
    }
}
