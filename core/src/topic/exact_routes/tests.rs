//! What ExactRoutes must do, alone and while others change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::topic::texts::Texts;

fn found(routes: &ExactRoutes, topic: &str) -> Vec<u16> {
    let mut set = ShardSet::new();
    routes.shards(topic, &mut set);
    set.iter().collect()
}

impl ExactRoutes {
    /// What it keeps in memory.
    fn bytes(&self) -> usize {
        let pages = self.parts.iter().flat_map(|part| part.pages.0.iter().chain(&part.further.0));
        let pages = pages.filter_map(OnceLock::get).map(|block| size_of_val(&**block));
        pages.sum::<usize>() + size_of_val(&*self.parts)
    }

    /// Chains hold what `len` says, have no empty page at their end, and no page is in two of them.
    fn check(&self) {
        for part in &self.parts {
            let writer = part.writer();
            let homes = part.homes.load(Ordering::Relaxed);
            let (mut len, mut pages) = (0, BTreeSet::new());
            for at in 0..homes {
                part.each(at, |slot| {
                    let slot = slot.load(Ordering::Relaxed);
                    assert!(slot == 0 || home(slot, homes) == at);
                    len += usize::from(slot != 0);
                });
                let mut page = part.pages.get(at);
                while let Some(next) = page.map(|page| page.next.load(Ordering::Relaxed)).filter(|next| *next != 0) {
                    assert!(pages.insert(next - 1));
                    page = part.further.get(next - 1);
                    let is_last = page.is_some_and(|page| page.next.load(Ordering::Relaxed) == 0);
                    let is_empty = page.is_some_and(|page| page.slots.iter().all(|s| s.load(Ordering::Relaxed) == 0));
                    assert!(!(is_last && is_empty));
                }
            }
            assert_eq!(len, writer.len);
            assert!(writer.free.iter().all(|free| pages.insert(*free)));
            assert_eq!(pages.len(), writer.further as usize);
        }
    }
}

#[test]
fn it_holds_what_a_map_of_sets_holds() {
    let (routes, mut texts) = (ExactRoutes::new(5), Texts(3));
    let mut model = BTreeMap::<String, BTreeSet<u16>>::new();
    for round in 0..120_000 {
        // A few topics come often and are wanted by many shards.
        let topic = texts.number(if round % 16 == 0 { 4 } else { 30_000 }).to_string();
        let shard = texts.number(1024) as u16;
        let shards = model.entry(topic.clone()).or_default();
        if texts.number(10) < if round / 30_000 % 2 == 0 { 8 } else { 2 } {
            if shards.insert(shard) {
                routes.add(&topic, shard);
            }
        } else if let Some(shard) = shards.pop_first() {
            routes.remove(&topic, shard);
        }
        if round % 20_000 == 0 {
            routes.check();
            assert_eq!(routes.len(), model.values().map(BTreeSet::len).sum());
            for (topic, shards) in &model {
                assert!(found(&routes, topic).iter().eq(shards), "{topic}");
            }
        }
    }
    for (topic, shards) in model {
        shards.iter().for_each(|shard| routes.remove(&topic, *shard));
    }
    routes.check();
    assert!(routes.is_empty());
}

#[test]
fn of_two_filters_with_one_hash_the_second_keeps_its_route() {
    // Adding one filter twice is what a second filter of the same hash looks like.
    let routes = ExactRoutes::new(5);
    routes.add("a/b", 7);
    routes.add("a/b", 7);
    routes.add("a/b", 8);
    routes.remove("a/b", 7);
    assert_eq!(found(&routes, "a/b"), [7, 8]);
    routes.remove("a/b", 7);
    assert_eq!(found(&routes, "a/b"), [8]);
    routes.remove("a/b", 7);
    routes.remove("a/b", 8);
    assert!(routes.is_empty());
}

#[test]
fn a_count_that_overflows_keeps_its_route_for_good() {
    let routes = ExactRoutes::new(5);
    for _ in 0..100 {
        routes.add("a/b", 1023);
    }
    for _ in 0..100 {
        routes.remove("a/b", 1023);
    }
    assert_eq!(found(&routes, "a/b"), [1023]);
}

#[test]
fn an_answer_is_current_until_something_of_its_part_changes() {
    let routes = ExactRoutes::new(5);
    let mut set = ShardSet::new();
    let seen = routes.shards("a/b", &mut set);
    assert!(routes.is_current(seen));
    routes.add("a/b", 3);
    assert!(!routes.is_current(seen));
    let seen = routes.shards("a/b", &mut set);
    assert!(routes.is_current(seen) && set.contains(3));
    routes.remove("a/b", 3);
    assert!(!routes.is_current(seen));
}

#[test]
fn a_route_costs_at_most_twenty_bytes() {
    let routes = ExactRoutes::new(5);
    let empty = routes.bytes();
    assert!(empty < 144 * 1024, "{empty}");
    for n in 0..200_000_u32 {
        routes.add(&format!("plant/{n:06}"), (n % 52) as u16);
        if n > 20_000 && n % 5000 == 0 {
            let each = (routes.bytes() - empty) as f64 / f64::from(n);
            assert!(each <= 20.0, "{each} bytes for each of {n}");
        }
    }
    for n in (0..200_000_u32).step_by(101) {
        assert_eq!(found(&routes, &format!("plant/{n:06}")), [(n % 52) as u16]);
    }
    assert_eq!(found(&routes, "plant/no"), [0; 0]);
}

#[test]
fn what_is_there_all_the_time_is_found_all_the_time() {
    const STAY: u32 = 500;
    let routes = ExactRoutes::new(5);
    (0..STAY).for_each(|n| routes.add(&format!("stays/{n}"), 7));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let topics: Vec<String> = (0..STAY).map(|n| format!("stays/{n}")).collect();
                let mut searches = 0_u32;
                while !done.load(Ordering::Relaxed) || searches < 10_000 {
                    for topic in &topics {
                        assert_eq!(found(&routes, topic), [7], "{topic}");
                        searches += 1;
                    }
                }
            });
        }
        let writers: Vec<_> = (0..2_u16)
            .map(|me| {
                let routes = &routes;
                scope.spawn(move || {
                    for round in 0..4_u32 {
                        let topics = || (0..8_000 << round).map(|n| format!("comes/{me}/{n}"));
                        topics().for_each(|topic| routes.add(&topic, me));
                        topics().for_each(|topic| assert_eq!(found(routes, &topic), [me]));
                        topics().for_each(|topic| routes.remove(&topic, me));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no writer failed"));
        done.store(true, Ordering::Relaxed);
    });
    routes.check();
    assert_eq!(routes.len(), STAY as usize);
}
