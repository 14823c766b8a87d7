//! What FilterTrie must do, against a naive search over a plain list.

use std::collections::BTreeMap;

use super::*;
use crate::topic::matches;
use crate::topic::texts::Texts;

fn found(trie: &FilterTrie<String>, topic: &str) -> Vec<String> {
    let mut found = Vec::new();
    trie.matches(topic, |value| found.push(value.clone()));
    found.sort_unstable();
    found
}

#[test]
fn it_finds_what_the_naive_match_finds_while_filters_come_and_go() {
    let mut texts = Texts(42);
    let mut trie = FilterTrie::<String>::with_seed(1);
    let mut model = BTreeMap::<String, String>::new();
    for round in 0..6_000 {
        let filter = texts.filter();
        if texts.number(10) < if round / 1000 % 2 == 0 { 7 } else { 3 } {
            let value = trie.entry(&filter, || filter.clone());
            assert_eq!(*value, *model.entry(filter.clone()).or_insert(filter));
        } else {
            assert_eq!(trie.remove(&filter), model.remove(&filter));
        }
        assert_eq!(trie.len(), model.len());
        if round % 8 == 0 {
            let topic = texts.topic();
            let expected: Vec<String> = model.keys().filter(|filter| matches(filter, &topic)).cloned().collect();
            assert_eq!(found(&trie, &topic), expected, "{topic}");
        }
    }
    let mut listed: Vec<(String, String)> =
        trie.iter().map(|(filter, value)| (filter.to_owned(), value.clone())).collect();
    listed.sort_unstable();
    assert!(listed.into_iter().eq(model.clone()));
    for filter in model.keys() {
        assert_eq!(trie.get(filter), Some(filter));
        assert_eq!(trie.remove(filter).as_ref(), Some(filter));
        assert_eq!(trie.get(filter), None);
    }
    assert!(trie.is_empty());
    trie.give_back(usize::MAX);
    assert_eq!((trie.bytes() / 1024, trie.wild.nodes()), (0, 0));
}

#[test]
fn removal_leaves_the_nodes_that_others_need_and_no_more() {
    let mut trie = FilterTrie::<u32>::new();
    for filter in ["a/+", "a/+/b", "a/+/b/#", "+", "#", "x/y/#"] {
        trie.entry(filter, || 1);
    }
    // root, a, a/+, a/+/b, +, x, x/y
    assert_eq!(trie.wild.nodes(), 7);
    trie.remove("x/y/#");
    trie.remove("a/+");
    assert_eq!(trie.wild.nodes(), 5);
    trie.remove("a/+/b/#");
    assert_eq!(trie.wild.nodes(), 5);
    trie.remove("a/+/b");
    assert_eq!(trie.wild.nodes(), 2);
    trie.remove("+");
    trie.remove("#");
    assert_eq!(trie.wild.nodes(), 0);
    assert!(trie.is_empty());
}

#[test]
fn values_can_be_changed_where_they_are() {
    let mut trie = FilterTrie::<u32>::new();
    for filter in ["a/b", "a/+", "a/#", "#", "c"] {
        *trie.entry(filter, || 0) += 1;
    }
    trie.matches_mut("a/b", |value| *value += 10);
    *trie.get_mut("#").expect("it is there") += 100;
    assert_eq!(trie.get_mut("nothing"), None);
    let mut values: Vec<u32> = trie.iter().map(|(_, value)| *value).collect();
    values.sort_unstable();
    assert_eq!(values, [1, 11, 11, 11, 111]);
}

#[test]
fn the_last_entry_that_moves_into_a_gap_is_still_found() {
    for (removed, moved) in [("a", "b"), ("a", "+/b"), ("+/a", "b"), ("+/a", "+/b")] {
        let mut trie = FilterTrie::<&str>::new();
        trie.entry(removed, || removed);
        trie.entry(moved, || moved);
        assert_eq!(trie.remove(removed), Some(removed));
        assert_eq!(trie.get(moved), Some(&moved));
        let mut values = Vec::new();
        trie.matches(&moved.replace('+', "x"), |value| values.push(*value));
        assert_eq!(values, [moved]);
    }
}

#[test]
fn depth_costs_no_stack() {
    let mut trie = FilterTrie::<u32>::new();
    let filter = "/".repeat(65_000) + "+";
    trie.entry(&filter, || 1);
    trie.entry("+/#", || 2);
    let mut sum = 0;
    trie.matches(&("/".repeat(65_000) + "x"), |value| sum += value);
    trie.matches(&"/".repeat(65_400), |value| sum += value);
    assert_eq!(sum, 5);
    assert_eq!(trie.remove(&filter), Some(1));
    assert_eq!(trie.wild.nodes(), 2);
}

#[test]
fn many_filters_are_found_and_cost_little() {
    let mut trie = FilterTrie::<[u64; 3]>::new();
    let many = 20_000_u64;
    for n in 0..many {
        trie.entry(&format!("plant/{n:06}"), || [n; 3]);
    }
    let each = trie.bytes() / many as usize;
    assert!(each <= 70, "{each} bytes for a filter without wildcards");
    for n in 0..many {
        trie.entry(&format!("w/{n:06}/+"), || [n; 3]);
    }
    let each = trie.bytes() / (2 * many as usize);
    assert!(each <= 140, "{each} bytes for a filter");
    for n in (0..many).step_by(37) {
        let mut values = Vec::new();
        trie.matches(&format!("plant/{n:06}"), |value| values.push(value[0]));
        trie.matches(&format!("w/{n:06}/x"), |value| values.push(value[1]));
        assert_eq!(values, [n, n]);
    }
    for n in 0..many {
        assert!(trie.remove(&format!("w/{n:06}/+")).is_some());
        assert!(trie.remove(&format!("plant/{n:06}")).is_some());
    }
    assert_eq!((trie.len(), trie.wild.nodes(), trie.index.len()), (0, 0, 0));
    trie.entry("stays/+", || [1; 3]);
    while trie.give_back(8) > 0 {}
    assert!(trie.bytes() < 2 * many as usize, "{} bytes stay", trie.bytes());
    assert_eq!(trie.get("stays/+"), Some(&[1; 3]));
}

#[test]
fn a_topic_with_the_text_of_a_wildcard_filter_does_not_meet_it_twice() {
    let mut trie = FilterTrie::<u32>::new();
    trie.entry("a", || 0);
    trie.entry("a/+", || 1);
    let mut met = 0;
    trie.matches("a/+", |_| met += 1);
    assert_eq!(met, 1);
}
