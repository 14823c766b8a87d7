//! Actions of rules: messages that rules publish, loops that end, fallbacks, rules that change while messages come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup, fresh_dir};
use millrace_tests::wire::{Client, Publish, Version};

const V5: Version = Version::V5;

/// A broker with a config file that can be written anew.
struct Configured {
    broker: Broker,
    dir: PathBuf,
    reloads: usize,
}

impl Configured {
    fn start(config: &str) -> Self {
        let dir = fresh_dir("rules");
        std::fs::write(dir.join("millrace.toml"), config).expect("the folder is ours");
        let broker = Setup::new().set("sys.interval=1s").data_dir(&dir).start();
        Self { broker, dir, reloads: 0 }
    }

    /// A client that wants nothing that was retained before (Retain Handling 2).
    fn client(&self, name: &str, filters: &[&str]) -> Client {
        let mut client = Client::connect(&self.broker, V5, name);
        let filters: Vec<_> = filters.iter().map(|filter| (*filter, 0x21)).collect();
        if !filters.is_empty() {
            client.subscribe_all(&[], &filters);
        }
        client
    }

    /// Reloads; whether the config was taken.
    fn reload(&mut self, config: &str) -> bool {
        std::fs::write(self.dir.join("millrace.toml"), config).expect("the folder is ours");
        self.broker.signal(libc::SIGHUP);
        self.reloads += 1;
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let output = self.broker.output();
            let (taken, refused) = ("reload ok: ", "the broker runs on with the config that it has");
            if output.matches(taken).count() + output.matches(refused).count() == self.reloads {
                return output.rfind(taken) > output.rfind(refused);
            }
            assert!(Instant::now() < until, "the broker does not reload:\n{output}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until these `$SYS` topics below the node have these values.
    fn expect_sys(&self, name: &str, wanted: &[(&str, &str)]) {
        let filters: Vec<String> = wanted.iter().map(|(topic, _)| format!("$SYS/brokers/+/{topic}")).collect();
        let mut client = self.client(name, &filters.iter().map(String::as_str).collect::<Vec<_>>());
        let mut met = BTreeMap::new();
        let until = Instant::now() + Duration::from_secs(20);
        while !wanted.iter().all(|(topic, value)| met.get(*topic).is_some_and(|met| met == value)) {
            assert!(Instant::now() < until, "{wanted:?} was expected, {met:?} came");
            let delivery = client.expect_publish();
            let topic = delivery.topic.splitn(4, '/').nth(3).expect("it is below the node").to_owned();
            met.insert(topic, delivery.text().to_owned());
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_rule_publishes_what_its_templates_say() {
    let broker = Configured::start(
        r#"
        [rules.convert]
        sql = '''SELECT clientid, payload.t AS t, payload.q AS q, pub_props, payload FROM "in/#" WHERE payload.t > 0'''
        [[rules.convert.actions]]
        kind = "republish"
        topic = "out/${clientid}/${payload.kind:-none}"
        qos = "${q}"
        retain = true
        payload = "T=${t} ${payload.missing}"
        properties = { Content-Type = "text/plain" }
        user_properties = "${pub_props.User-Property}"
        [rules.next]
        sql = '''SELECT clientid, topic, payload, qos FROM "out/#"'''
        actions = [{ kind = "republish", topic = "seen", payload = "${clientid}: ${payload} ${qos}" }]
        [rules.later]
        sql = '''SELECT clientid, payload FROM "delay/me", "now" WHERE clientid != 'later' OR true'''
        actions = [{ kind = "republish", topic = "$delayed/1/now", payload = "${payload}+${clientid}" }]
        "#,
    );
    let mut subscriber = broker.client("subscriber", &["out/#", "seen"]);
    let mut publisher = broker.client("publisher", &[]);
    publisher.publish(Publish::new("in/a", r#"{"t":21.5,"q":1}"#).qos(1, 0));
    let delivery = subscriber.expect_payload("T=21.5 ");
    assert_eq!((delivery.topic.as_str(), delivery.qos), ("out/publisher/none", 1));
    assert!(!delivery.retain, "to a subscriber that was there it is new");
    subscriber.acknowledge(&delivery);
    let delivery = subscriber.expect_payload("convert: T=21.5  1");
    assert_eq!((delivery.topic.as_str(), delivery.qos), ("seen", 1));
    subscriber.acknowledge(&delivery);
    publisher.publish(Publish::new("in/a", r#"{"t":0,"q":1}"#).qos(1, 0));
    subscriber.expect_nothing();
    // It was retained as well.
    let mut late = broker.client("late", &[]);
    late.subscribe("out/#", 1);
    assert!(late.expect_payload("T=21.5 ").retain);
    // QoS 3 is no QoS: counted, nothing comes.
    publisher.publish(Publish::new("in/a", r#"{"t":1,"q":3}"#).qos(1, 0));
    subscriber.expect_nothing();
    broker.expect_sys(
        "sys",
        &[
            ("rules/convert/matched", "3"),
            ("rules/convert/passed", "2"),
            ("rules/convert/no_result", "1"),
            ("rules/convert/actions/1/success", "1"),
            ("rules/convert/actions/1/failed", "1"),
            ("rules/next/actions/1/success", "1"),
            ("metrics/rule_action_failures_bad_qos", "1"),
            ("metrics/messages_originated_republish", "2"),
        ],
    );
    // What a rule hands in for later is its own, too: it does not see that again.
    let mut subscriber = broker.client("now", &["now"]);
    publisher.publish(Publish::new("delay/me", "x").qos(1, 0));
    subscriber.expect_payload("x+publisher");
    subscriber.expect_nothing();
}

#[test]
fn rules_that_feed_each_other_are_stopped_and_counted() {
    let broker = Configured::start(
        r#"
        [rules.ping]
        sql = '''SELECT payload FROM "ping"'''
        actions = [{ kind = "republish", topic = "pong", qos = 1 }]
        [rules.pong]
        sql = '''SELECT payload FROM "pong"'''
        actions = [{ kind = "republish", topic = "ping" }]
        [rules.self]
        sql = '''SELECT payload FROM "self/#"'''
        actions = [{ kind = "republish", topic = "self/again" }]
        [rules.flood]
        sql = '''FOREACH payload.list AS item DO item FROM "flood"'''
        actions = [{ kind = "republish", topic = "drop/${item}" }, { kind = "do_nothing" }]
        "#,
    );
    let mut subscriber = broker.client("subscriber", &["ping", "pong", "self/#", "drop/#"]);
    let mut publisher = broker.client("publisher", &[]);
    publisher.publish(Publish::new("ping", "ball").qos(1, 0));
    let topics: Vec<String> = (0..9)
        .map(|_| {
            let delivery = subscriber.expect_payload("ball");
            subscriber.acknowledge(&delivery);
            delivery.topic
        })
        .collect();
    assert_eq!(topics.iter().filter(|topic| *topic == "pong").count(), 4);
    subscriber.expect_nothing();
    publisher.publish(Publish::new("self/x", "echo").qos(1, 0));
    for topic in ["self/x", "self/again"] {
        let delivery = subscriber.expect_payload("echo");
        subscriber.acknowledge(&delivery);
        assert_eq!(delivery.topic, topic);
    }
    subscriber.expect_nothing();
    // More than one message may make at once is dropped, and counted.
    let list = vec!["1"; 2000].join(",");
    publisher.publish(Publish::new("flood", format!("{{\"list\":[{list}]}}")));
    for _ in 0..1024 {
        assert_eq!(subscriber.expect_publish().topic, "drop/1");
    }
    subscriber.expect_nothing();
    broker.expect_sys(
        "sys",
        &[
            ("metrics/rule_action_failures_too_many_hops", "1"),
            ("rules/ping/actions/1/failed", "1"),
            ("rules/ping/actions/1/success", "4"),
            ("rules/pong/actions/1/success", "4"),
            ("rules/self/matched", "1"),
            ("rules/self/actions/1/failed", "1"),
            ("metrics/rule_action_failures_recursive", "1"),
            ("rules/flood/actions/1/success", "1024"),
            ("rules/flood/actions/1/dropped", "976"),
            ("rules/flood/actions/2/success", "2000"),
        ],
    );
    broker.broker.expect_output("reason=too_many_hops");
}

#[test]
fn an_action_that_fails_has_fallbacks_and_may_stop_those_behind_it() {
    let broker = Configured::start(
        r#"
        [rules.goes_on]
        sql = '''SELECT payload.to AS to FROM "on"'''
        actions = [
          { kind = "republish", topic = "${to}", fallbacks = [
            { kind = "republish", topic = "also/${to}" }, { kind = "republish", topic = "dead", payload = "${to}" }, { kind = "console" },
          ] },
          { kind = "republish", topic = "second", payload = "${to}" },
        ]
        [rules.stops]
        sql = '''SELECT payload.to AS to FROM "off"'''
        on_action_failed = "stop"
        actions = [
          { kind = "republish", topic = "${to}" },
          { kind = "console" },
          { kind = "republish", topic = "third", payload = "${to}" },
        ]
        "#,
    );
    let mut subscriber = broker.client("subscriber", &["dead", "second", "third", "good"]);
    let mut publisher = broker.client("publisher", &[]);
    publisher.publish(Publish::new("on", r#"{"to":"a/#"}"#));
    for topic in ["dead", "second"] {
        assert_eq!(subscriber.expect_payload("a/#").topic, topic);
    }
    publisher.publish(Publish::new("off", r#"{"to":"a/#"}"#));
    subscriber.expect_nothing();
    publisher.publish(Publish::new("off", r#"{"to":"good"}"#));
    assert_eq!(subscriber.expect_publish().topic, "good");
    assert_eq!(subscriber.expect_payload("good").topic, "third");
    broker.broker.expect_output("rule-console");
    broker.broker.expect_output(r#"{"to":"good"}"#);
    broker.expect_sys(
        "sys",
        &[
            ("rules/goes_on/actions/1/success", "1"),
            ("rules/goes_on/actions/1/fallback", "1"),
            ("rules/stops/actions/1/failed", "1"),
            ("rules/stops/actions/1/success", "1"),
            ("rules/stops/actions/2/success", "1"),
            ("rules/stops/actions/3/failed", "0"),
        ],
    );
}

fn stamped(stamp: usize, with_more: bool) -> String {
    let more = "[rules.more]\nsql = 'SELECT topic FROM \"more\"'\nactions = [{ kind = 'do_nothing' }]\n";
    format!(
        "[rules.same]\nsql = 'SELECT payload FROM \"n\"'\nactions = [{{ kind = 'do_nothing' }}]\n\
         [rules.stamp]\nsql = 'SELECT payload, {stamp} AS stamp FROM \"n\"'\n\
         actions = [{{ kind = 'republish', topic = 'stamped', payload = '${{payload}} ${{stamp}}', qos = 1 }}]\n{}",
        if with_more { more } else { "" }
    )
}

#[test]
fn each_message_is_seen_by_the_old_rule_or_by_the_new_one() {
    const RELOADS: usize = 20;
    let mut broker = Configured::start(&stamped(0, false));
    let mut subscriber = broker.client("subscriber", &["stamped"]);
    let mut publisher = broker.client("publisher", &[]);
    let mut sent = 0;
    for stamp in 1..=RELOADS {
        for _ in 0..20 {
            publisher.publish(Publish::new("n", sent.to_string()).qos(0, 0));
            sent += 1;
        }
        assert!(broker.reload(&stamped(stamp, stamp % 2 == 1)));
    }
    publisher.publish(Publish::new("n", sent.to_string()).qos(1, 0));
    let mut last = 0;
    for number in 0..=sent {
        let delivery = subscriber.expect_publish();
        let (seen, stamp) = delivery.text().split_once(' ').expect("a number and a stamp");
        let stamp: usize = stamp.parse().expect("a number");
        assert_eq!(seen, number.to_string(), "each comes once, in order");
        assert!(stamp >= last && stamp <= number / 20 + 1, "{number} was seen by {stamp} behind {last}");
        last = stamp;
        if delivery.qos > 0 {
            subscriber.acknowledge(&delivery);
        }
    }
    // A shard hears of the last change a moment after it was told.
    assert!(last + 1 >= RELOADS, "{last}");
    subscriber.expect_nothing();
    broker.expect_sys("sys", &[("rules/same/matched", &(sent + 1).to_string())]);
}

#[test]
fn a_bad_rule_refuses_the_whole_reload() {
    let good = "[rules.r]\nsql = 'SELECT payload FROM \"a\"'\nactions = [{ kind = 'republish', topic = 'b' }]\n\
                [sinks.local]\nkind = 'sqlite'\nfile = 'demo.sqlite'\ntable = 'demo'\n";
    let mut broker = Configured::start(good);
    let mut subscriber = broker.client("subscriber", &["b", "$SYS/brokers/+/rules/r/matched"]);
    let mut publisher = broker.client("publisher", &[]);
    let mut counted = false;
    let new_sink = "[sinks.other]\nkind = 'sqlite'\nfile = 'o.sqlite'\ntable = 't'\n";
    for (config, says) in [
        (good.replace("'b'", "'c/${x}'"), "the rule makes no column `x`"),
        (good.replace("SELECT", "SELCT"), "R0003"),
        (
            good.replace("{ kind = 'republish', topic = 'b' }", "{ kind = 'sink', sink = 'locl' }"),
            "did you mean `local`?",
        ),
        (
            format!(
                "{}{new_sink}",
                good.replace("{ kind = 'republish', topic = 'b' }", "{ kind = 'sink', sink = 'other' }")
            ),
            "the sink `other`, which does not run yet",
        ),
    ] {
        assert!(!broker.reload(&format!("{config}[mqtt]\nmaximum_qos = 0\n")), "{config}");
        broker.broker.expect_output(says);
        publisher.publish(Publish::new("a", "still").qos(1, 0));
        let delivery = loop {
            let delivery = subscriber.expect_publish();
            if delivery.topic == "b" {
                break delivery;
            }
            counted |= delivery.topic.ends_with("/rules/r/matched");
            if delivery.qos > 0 {
                subscriber.acknowledge(&delivery);
            }
        };
        subscriber.acknowledge(&delivery);
    }
    // A rule that goes takes its topics along.
    while !counted {
        counted = subscriber.expect_publish().topic.ends_with("/rules/r/matched");
    }
    assert!(broker.reload("[rules.other]\nsql = 'SELECT payload FROM \"a\"'\n"));
    let until = Instant::now() + Duration::from_secs(20);
    while !subscriber.expect_publish().payload.is_empty() {
        assert!(Instant::now() < until, "its topics stay");
    }
}
