//! What RetainedTree must do, against a naive search over a plain list.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::message::{MessageHead, MessageView};
use crate::packet::QoS;
use crate::topic::matches;
use crate::topic::texts::Texts;

const NOW: Millis = Millis(1_000);

fn message(topic: &str, expires_at: Millis) -> Message {
    Message::new(&MessageView {
        head: MessageHead { qos: QoS::AtMostOnce, retain: true, expires_at, publisher: 0 },
        topic,
        properties: &[],
        payload: b"21.5",
    })
}

fn lasting(topic: &str) -> Message {
    message(topic, Millis::NEVER)
}

fn tree(topics: &[&str]) -> RetainedTree {
    let mut tree = RetainedTree::new();
    for topic in topics {
        tree.insert(lasting(topic));
    }
    tree
}

/// All topics that a query gives, and how many pages it took.
fn query(tree: &RetainedTree, filter: &str, messages: usize, steps: usize) -> (Vec<String>, usize) {
    let mut cursor = Cursor::new();
    let mut topics = Vec::new();
    let mut pages = 0;
    loop {
        pages += 1;
        let before = topics.len();
        let done = tree.page(filter, &mut cursor, NOW, messages, steps, |message| {
            topics.push(message.view().topic.to_owned());
        });
        assert!(topics.len() - before <= messages.max(1));
        if done {
            return (topics, pages);
        }
    }
}

#[test]
fn messages_come_in_the_order_of_levels() {
    let tree = tree(&["a", "a/b", "a!", "a/b/c", "/", "/a", "b", "a b", "$x", "a/\u{1}"]);
    let (topics, _) = query(&tree, "#", 1, 1);
    let expected = ["/", "/a", "a", "a/\u{1}", "a/b", "a/b/c", "a b", "a!", "b"];
    assert_eq!(topics, expected);
    assert_eq!(query(&tree, "$x/#", 9, 9).0, ["$x"]);
    assert_eq!(query(&tree, "a/#", 9, 9).0, ["a", "a/\u{1}", "a/b", "a/b/c"]);
    assert_eq!(query(&tree, "a/b", 9, 9).0, ["a/b"]);
    assert_eq!(query(&tree, "a/c", 9, 9).0, [""; 0]);
}

#[test]
fn a_message_replaces_the_one_before() {
    let mut tree = RetainedTree::new();
    assert!(tree.insert(lasting("a/b")).is_none());
    let bytes = tree.bytes();
    assert!(tree.insert(message("a/b", Millis(5_000))).is_some());
    assert_eq!((tree.len(), tree.bytes()), (1, bytes + DEADLINE_BYTES));
    assert_eq!(tree.next_expiry(), Millis(5_000));
    assert!(tree.insert(lasting("a/b")).is_some());
    assert_eq!((tree.len(), tree.bytes()), (1, bytes));
    assert_eq!(tree.next_expiry(), Millis::NEVER);
    assert!(tree.get("a/b").is_some() && tree.get("a").is_none());
    assert!(tree.remove("a/b").is_some() && tree.remove("a/b").is_none());
    assert_eq!((tree.len(), tree.bytes()), (0, 0));
}

#[test]
fn expired_messages_are_neither_given_nor_kept() {
    let mut tree = RetainedTree::new();
    for n in 0..10 {
        tree.insert(message(&format!("a/{n}"), Millis(991 + n * 2)));
    }
    tree.insert(lasting("a/x"));
    // 991 to 999 have expired.
    assert_eq!(query(&tree, "a/+", 100, 100).0.len(), 6);
    assert_eq!(tree.expire(NOW, 3), 3);
    assert_eq!(tree.expire(NOW, 3), 2);
    assert_eq!(tree.expire(NOW, 3), 0);
    assert_eq!((tree.len(), tree.next_expiry()), (6, Millis(1001)));
    assert_eq!(tree.expire(Millis::NEVER, 100), 5);
    assert_eq!((tree.len(), tree.next_expiry()), (1, Millis::NEVER));
    tree.remove("a/x");
    assert_eq!(tree.bytes(), 0);
}

#[test]
fn a_message_expires_at_its_moment_and_not_before() {
    let mut tree = RetainedTree::new();
    tree.insert(message("a", Millis(1_001)));
    assert_eq!(query(&tree, "a", 9, 9).0, ["a"]);
    assert_eq!(tree.expire(NOW, 9), 0);
    tree.insert(message("a", NOW));
    assert_eq!(query(&tree, "a", 9, 9).0, [""; 0]);
    assert_eq!(tree.expire(NOW, 9), 1);
}

#[test]
fn it_gives_what_the_naive_match_finds() {
    let mut texts = Texts(7);
    let mut tree = RetainedTree::new();
    let mut model = BTreeSet::new();
    for _ in 0..600 {
        let topic = texts.topic();
        tree.insert(lasting(&topic));
        model.insert(topic);
    }
    for _ in 0..600 {
        let filter = texts.filter();
        let (mut topics, _) = query(&tree, &filter, 1 + texts.number(9) as usize, 7);
        topics.sort_unstable();
        let expected: Vec<&String> = model.iter().filter(|t| matches(&filter, t)).collect();
        assert!(topics.iter().eq(expected), "{filter}: {topics:?}");
    }
}

#[test]
fn a_query_leaps_over_what_cannot_match() {
    let mut tree = RetainedTree::new();
    for plant in 0..50 {
        for sensor in 0..100 {
            tree.insert(lasting(&format!("plant/{plant}/s{sensor}/raw")));
        }
        tree.insert(lasting(&format!("plant/{plant}/temp")));
    }
    for n in 0..1_000 {
        tree.insert(lasting(&format!("other/{n}")));
        tree.insert(lasting(&format!("zebra/{n}")));
        tree.insert(lasting(&format!("$SYS/{n}")));
    }
    // At each plant: its first sensor, its temperature, perhaps what is behind it.
    let (topics, steps) = query(&tree, "plant/+/temp", usize::MAX, 1);
    assert_eq!(topics.len(), 50);
    assert!(steps <= 4 * 50, "{steps}");
    let (topics, steps) = query(&tree, "+/7/temp", usize::MAX, 1);
    assert_eq!(topics, ["plant/7/temp"]);
    assert!(steps <= 20, "{steps}");
    let (topics, steps) = query(&tree, "nothing/#", usize::MAX, 1);
    assert_eq!((topics.len(), steps), (0, 1));
}

#[test]
fn each_page_has_a_bound_on_its_steps() {
    let mut tree = RetainedTree::new();
    for n in 0..1_000 {
        tree.insert(lasting(&format!("a/{n}/b")));
    }
    let (topics, pages) = query(&tree, "a/+/c", 10, 100);
    assert_eq!(topics.len(), 0);
    assert!((10..=30).contains(&pages), "{pages}");
    let mut cursor = Cursor::new();
    let mut given = 0;
    assert!(!tree.page("#", &mut cursor, NOW, 7, 100, |_| given += 1));
    assert_eq!((given, cursor.last()), (7, Some("a/103/b")));
    let mut same = Cursor::after("a/103/b");
    assert_eq!(same, cursor);
    assert!(!tree.page("#", &mut same, NOW, 0, 0, |_| given += 1));
    assert_eq!(given, 8);
}

#[test]
fn what_stays_is_given_once_whatever_comes_and_goes_between_pages() {
    for seed in 1..60 {
        let mut texts = Texts(seed);
        let mut tree = RetainedTree::new();
        let mut stays = BTreeSet::new();
        for _ in 0..150 {
            let topic = texts.topic();
            tree.insert(lasting(&topic));
            stays.insert(topic);
        }
        let filter = texts.filter();
        let mut cursor = Cursor::new();
        let mut given = BTreeMap::<String, usize>::new();
        let mut came = BTreeSet::new();
        loop {
            let steps = 1 + texts.number(6) as usize;
            let done = tree.page(&filter, &mut cursor, NOW, 3, steps, |message| {
                *given.entry(message.view().topic.to_owned()).or_default() += 1;
            });
            if done {
                break;
            }
            for _ in 0..4 {
                let topic = texts.topic();
                if texts.number(2) == 0 {
                    tree.remove(&topic);
                    stays.remove(&topic);
                } else {
                    // One that has stayed until now is only replaced.
                    tree.insert(lasting(&topic));
                    came.insert(topic);
                }
            }
            // The topic that the cursor is at may go too.
            if texts.number(3) == 0
                && let Some(last) = cursor.last()
            {
                tree.remove(last);
                stays.remove(last);
            }
        }
        for topic in stays.iter().filter(|topic| matches(&filter, topic)) {
            assert_eq!(given.get(topic), Some(&1), "seed {seed} {filter} {topic}");
        }
        for (topic, times) in &given {
            assert!(matches(&filter, topic), "seed {seed} {filter} {topic}");
            assert_eq!(*times, 1, "seed {seed} {filter} {topic}");
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = "/".repeat(65_400);
    let tree = tree(&[&deep, "a"]);
    assert_eq!(query(&tree, &("+/".repeat(30_000) + "#"), 9, 9).0, [&*deep]);
    assert_eq!(query(&tree, &("/".repeat(65_000) + "a"), 9, 9).0, [""; 0]);
    assert!(tree.get(&deep).is_some());
}
