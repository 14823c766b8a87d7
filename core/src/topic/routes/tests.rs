//! What RouteTable must do, against a naive search over a plain list.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::topic::matches;
use crate::topic::texts::Texts;

fn table() -> RouteTable {
    RouteTable::new(5, Arc::new(ExactRoutes::new(5)))
}

fn found(table: &RouteTable, topic: &str) -> Vec<u16> {
    let mut set = ShardSet::new();
    table.shards(topic, &mut set);
    set.iter().collect()
}

#[test]
fn it_finds_what_the_naive_match_finds_while_routes_come_and_go() {
    let mut texts = Texts(3);
    let mut table = table();
    let mut model = BTreeMap::<String, BTreeSet<u16>>::new();
    for round in 0..8_000 {
        let filter = texts.filter();
        let shard = (texts.number(20) * 50) as u16;
        let shards = model.entry(filter.clone()).or_default();
        if texts.number(10) < if round / 2000 % 2 == 0 { 7 } else { 3 } {
            if shards.insert(shard) {
                table.add(&filter, shard);
            }
        } else if shards.remove(&shard) {
            table.remove(&filter, shard);
        }
        if round % 8 == 0 {
            let topic = texts.topic();
            let expected: BTreeSet<u16> = model
                .iter()
                .filter(|(filter, _)| matches(filter, &topic))
                .flat_map(|(_, shards)| shards.iter().copied())
                .collect();
            assert!(found(&table, &topic).iter().eq(&expected), "{topic}");
        }
    }
    for (filter, shards) in model {
        for shard in shards {
            table.remove(&filter, shard);
        }
    }
    assert!(table.exact.is_empty() && table.wild.is_empty());
}

#[test]
fn what_was_not_added_can_be_removed_without_harm() {
    let mut table = table();
    table.add("a/+", 1);
    table.add("a/b", 1);
    table.remove("a/+", 2);
    table.remove("+/b", 1);
    table.remove("a/b", 2);
    table.remove("b", 1);
    assert_eq!(found(&table, "a/b"), [1]);
    assert_eq!(found(&table, "a/c"), [1]);
}

#[test]
fn all_shards_can_want_one_filter() {
    let mut table = table();
    for shard in 0..1024 {
        table.add("all", shard);
        table.add("all/#", shard);
    }
    assert!(found(&table, "all").into_iter().eq(0..1024));
    for shard in 0..1023 {
        table.remove("all", shard);
        table.remove("all/#", shard);
    }
    assert_eq!(found(&table, "all"), [1023]);
    assert_eq!(found(&table, "all/x"), [1023]);
}

#[test]
fn filters_without_wildcards_are_known_to_all_tables_at_once() {
    let exact = Arc::new(ExactRoutes::new(9));
    let mut tables = [RouteTable::new(9, Arc::clone(&exact)), RouteTable::new(9, exact)];
    tables[0].add("a/b", 0);
    tables[0].add("a/+", 0);
    assert_eq!(found(&tables[1], "a/b"), [0]);
    assert_eq!(found(&tables[1], "a/c"), [0; 0]);
    tables[0].remove("a/b", 0);
    assert_eq!(found(&tables[1], "a/b"), [0; 0]);
    assert!(RouteTable::is_told("a/+") && RouteTable::is_told("#") && !RouteTable::is_told("a/b"));
}

#[test]
fn a_shard_set_is_a_set() {
    let mut set = ShardSet::new();
    let mut model = BTreeSet::new();
    let mut texts = Texts(11);
    for _ in 0..2_000 {
        let shard = texts.number(1024) as u16;
        if texts.number(2) == 0 {
            set.insert(shard);
            model.insert(shard);
        } else {
            set.remove(shard);
            model.remove(&shard);
        }
        assert_eq!(set.contains(shard), model.contains(&shard));
        assert_eq!(set.len(), model.len());
        assert_eq!(set.is_empty(), model.is_empty());
    }
    assert!(set.iter().eq(model));
    set.clear();
    assert_eq!(set, ShardSet::new());
    assert_eq!(set.iter().next(), None);
    assert!(!set.contains(1023));
}
