//! Functions of what rules keep between events.

use std::sync::Arc;

use super::{config, evaluate, event, value};
use crate::state::Store;
use crate::{Input, PublishEvent, Rules, Scratch, State};

/// Evaluates expressions one after the other on one shard, for a client at a moment.
struct Shard(Scratch);

impl Shard {
    fn new(store: &Arc<Store>) -> Self {
        Self(Scratch::with_state(State::with_store(Arc::clone(store))))
    }

    fn value(&mut self, clientid: &str, unix_ms: u64, expression: &str, payload: &[u8]) -> String {
        let mut rules =
            Rules::compile(&[("r", config(&format!("SELECT {expression} AS v FROM \"t\"")))]).expect("a rule");
        let event = PublishEvent { clientid, unix_ms, ..event("t", payload) };
        let row = evaluate(&mut rules, &Input::publish(event, &mut self.0));
        row.strip_prefix("{\"v\":").and_then(|row| row.strip_suffix('}')).map_or(row.clone(), str::to_owned)
    }
}

#[test]
fn each_client_has_values_of_its_own() {
    let store = Arc::default();
    let mut shard = Shard::new(&store);
    assert_eq!(shard.value("a", 0, "proc_dict_get('n')", b""), "null");
    assert_eq!(shard.value("a", 0, "proc_dict_put('n', payload.x)", b"{\"x\":[1,{\"y\":\"z\"}]}"), "null");
    assert_eq!(shard.value("a", 0, "proc_dict_get('n')", b""), "[1,{\"y\":\"z\"}]");
    assert_eq!(shard.value("b", 0, "proc_dict_get('n')", b""), "null");
    assert_eq!(shard.value("a", 0, "proc_dict_put('n', 2)", b""), "[1,{\"y\":\"z\"}]");
    assert_eq!(shard.value("a", 0, "proc_dict_del('n')", b""), "2");
    assert_eq!(shard.value("a", 0, "proc_dict_del('n')", b""), "null");
    assert_eq!(Shard::new(&store).value("a", 0, "proc_dict_get('n')", b""), "null");
}

#[test]
fn values_by_name_are_shared_by_shards_and_can_expire() {
    let store = Arc::default();
    let (mut one, mut two) = (Shard::new(&store), Shard::new(&store));
    assert_eq!(one.value("a", 1_000, "kv_store_get('k')", b""), "null");
    assert_eq!(one.value("a", 1_000, "kv_store_get('k', 'none')", b""), "\"none\"");
    assert_eq!(one.value("a", 1_000, "kv_store_put('k', payload)", b"grown"), "true");
    assert_eq!(two.value("b", 2_000, "kv_store_get('k', 'none')", b""), "\"grown\"");
    assert_eq!(two.value("b", 2_000, "kv_store_del('k')", b""), "true");
    assert_eq!(one.value("a", 2_000, "kv_store_get('k')", b""), "null");
    assert_eq!(one.value("a", 2_000, "kv_store_put('k', 1, 500)", b""), "true");
    assert_eq!(two.value("b", 2_499, "kv_store_get('k')", b""), "1");
    assert_eq!(two.value("b", 2_500, "kv_store_get('k', 0)", b""), "0");
    assert_eq!(one.value("a", 2_500, "kv_store_put('k', 1, payload.t)", b"{\"t\":-1}"), "R0307");
}

#[test]
fn names_of_unlike_kinds_are_unlike() {
    let store = Arc::default();
    let mut shard = Shard::new(&store);
    for (name, kept) in
        [("1", "\"int\""), ("'1'", "\"text\""), ("1.0", "\"float\""), ("true", "\"bool\""), ("'true'", "\"t\"")]
    {
        shard.value("a", 0, &format!("kv_store_put({name}, {})", kept.replace('"', "'")), b"");
    }
    assert_eq!(store.len(), 5);
    assert_eq!(shard.value("a", 0, "kv_store_get('1')", b""), "\"text\"");
    assert_eq!(shard.value("a", 0, "kv_store_get(1)", b""), "\"int\"");
    assert_eq!(value("kv_store_get(payload.n)", b"{}"), "R0306");
}

#[test]
fn what_is_too_large_is_not_kept_and_said_so() {
    let store = Arc::default();
    let mut shard = Shard::new(&store);
    let large = "x".repeat(70_000);
    assert_eq!(shard.value("a", 0, "kv_store_put('k', 1)", b""), "true");
    assert_eq!(shard.value("a", 0, "kv_store_put('k', payload)", large.as_bytes()), "false");
    assert_eq!(shard.value("a", 0, "kv_store_get('k')", b""), "null");
    assert_eq!(shard.value("a", 0, "kv_store_put(payload, 1)", large.as_bytes()), "false");
    assert_eq!(shard.value("a", 0, "proc_dict_put('k', payload)", large.as_bytes()), "null");
    assert_eq!(shard.value("a", 0, "proc_dict_get('k')", b""), "null");
    assert!(store.is_empty());
}

#[test]
fn a_time_to_live_that_is_none_is_refused_when_the_rule_is_saved() {
    assert_eq!(value("kv_store_put('k', 1, 0)", b""), "R0115");
    assert_eq!(value("kv_store_put('k', 1, 1.5)", b""), "R0111");
    assert_eq!(value("proc_dict_put('k')", b""), "R0110");
}

#[test]
fn a_client_that_goes_is_forgotten() {
    let state = State::with_store(Arc::default());
    state.put("a", "'n'", millrace_core::value::Value::Int(1));
    state.forget_client("a");
    assert_eq!(state.get("a", "'n'"), None);
    state.forget_client("unknown");
}
