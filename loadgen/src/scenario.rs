//! From what was typed to a plan: each scenario is a choice of who publishes what to whom.

use std::collections::HashSet;
use std::time::Duration;

use millrace_core::packet::QoS;

use crate::addresses::{sources, targets};
use crate::cli::Scenario;
use crate::files::Files;
use crate::mix::Stream;
use crate::options::{AheadOptions, CommonOptions, FanOptions, MessageOptions, MixedOptions, TimeOptions};
use crate::payload::PayloadTemplate;
use crate::plan::{Audience, Identity, Pace, Payload, Plan, Ramp, Story, Will};
use crate::properties::{Description, Subscription};
use crate::run_plan::RunPlan;
use crate::stamp::Stamp;
use crate::sys;
use crate::template::Template;

/// Connections of one worker between connect and ready, where no rate is held.
const PENDING: u32 = 256;
/// Messages of one publisher under way in the closed loop, if nothing else is said: acknowledged ones, and those of
/// QoS 0, which cost brokers so little that smaller groups would measure the network stack, and this program with it.
/// More than a thousand on their way to one subscriber are dropped by brokers with usual limits.
const WINDOW: u32 = 20;
const WINDOW_QOS_0: u32 = 100;
const WINDOW_QOS_0_PAIRS: u32 = 1000;
/// Time in front of the measured one, if nothing else is said.
const WARM_UP: Duration = Duration::from_secs(1);
/// Messages a second: one each nanosecond, the unit of the schedule.
const RATE_MAX: f64 = 1e9;
/// How long sessions are kept in which messages wait.
const KEPT_SECONDS: u32 = 300;

/// Publishers and subscribers, if nothing else is said.
pub(crate) const FAN_IN: (u32, u32) = (50, 1);
pub(crate) const FAN_OUT: (u32, u32) = (1, 500);
pub(crate) const SHARED: (u32, u32) = (50, 10);

/// The plan of a run, or what is wrong with the options. The tag tells its messages from those of other runs.
pub(crate) fn run_plan(scenario: &Scenario, tag: u16, files: &Files) -> Result<RunPlan, String> {
    match scenario {
        Scenario::Mixed(options) => mixed(options, tag, files),
        one => Ok(RunPlan::from(plan(one, tag, files)?)),
    }
}

/// The streams of a mix, each with a tag, client ids and topics of its own.
fn mixed(options: &MixedOptions, tag: u16, files: &Files) -> Result<RunPlan, String> {
    let whole = base(&options.common, tag)?;
    let mut parts = Vec::new();
    for (at, Stream { name, scenario }) in options.streams.iter().enumerate() {
        let mut part =
            plan(scenario, tag.wrapping_add(at as u16), files).map_err(|error| format!("stream {name}: {error}"))?;
        part.name.clone_from(name);
        if scenario.common().connect.prefix.is_none() && options.common.connect.prefix.is_some() {
            part.identity.prefix = format!("{}{name}-", whole.identity.prefix);
        }
        let Ramp { timeout, retries, reconnects, .. } = part.ramp;
        part.ramp = Ramp { timeout, retries, reconnects, ..whole.ramp.clone() };
        part.workers = whole.workers;
        (part.warm_up, part.duration, part.drain) = (whole.warm_up, whole.duration, whole.drain);
        parts.push(part);
    }
    let prefixes: HashSet<&str> = parts.iter().map(|part| part.identity.prefix.as_str()).collect();
    if prefixes.len() < parts.len() {
        return Err("two streams have the same --prefix, and so the same client ids".to_owned());
    }
    let connections: f64 = parts.iter().map(|part| f64::from(part.connections())).sum();
    if connections > f64::from(u32::MAX) {
        return Err(format!("{connections} connections are over {}", u32::MAX));
    }
    for part in &mut parts {
        part.ramp.rate = whole.ramp.rate.map(|rate| rate * f64::from(part.connections()) / connections);
    }
    Ok(RunPlan::mixed(parts))
}

/// The plan of a single scenario.
fn plan(scenario: &Scenario, tag: u16, files: &Files) -> Result<Plan, String> {
    let base = base(scenario.common(), tag)?;
    match scenario {
        Scenario::Mixed(_) => Err("a mix is no part of another".to_owned()),
        Scenario::Conn(options) => Ok(Plan { scenario: "conn", subscribers: options.count, ..base }),
        Scenario::Sub(options) => Ok(Plan {
            scenario: "sub",
            subscribers: options.count,
            audience: Audience::Strangers,
            filter: Some(Template::parse(&options.topic)?),
            subscribe_qos: options.qos,
            subscription: options.subscribe.subscription(base.identity.version)?,
            ..base
        }),
        Scenario::Pub(options) => {
            let messages = &options.messages;
            let base = Plan { scenario: "pub", publishers: options.count, ..base };
            let open = messages.rate.is_some() || messages.interval_of_msg.is_some() || messages.inflight.is_some();
            let mut plan = with_messages(base, messages, &options.common.time, files)?;
            if !open {
                // What a device does: one message a second.
                plan.pace = Pace::Open(f64::from(options.count));
                plan.window = None;
            }
            Ok(plan)
        }
        Scenario::Pairs(options) => {
            let pairs = options.pairs;
            let base = Plan {
                scenario: "pairs",
                subscribers: pairs,
                publishers: pairs,
                audience: Audience::Partner,
                subscribe_qos: options.receive.sub_qos.unwrap_or(options.messages.qos),
                subscription: options.receive.subscribe.subscription(base.identity.version)?,
                ..base
            };
            let plan = with_messages(base, &options.messages, &options.common.time, files)?;
            if !options.messages.topic.as_deref().is_none_or(|topic| topic.contains("%i")) {
                return Err("--topic of pairs needs %i, by which each pair has a topic of its own".to_owned());
            }
            if plan.topic.varies() {
                return Err("--topic of pairs is subscribed to as well, so it may not vary with %s or %rand".to_owned());
            }
            Ok(Plan { filter: Some(plan.topic.clone()), ..plan })
        }
        Scenario::Reconnect(options) => Ok(Plan {
            scenario: "reconnect",
            story: Story::Reconnect(options.rounds),
            subscribers: options.count,
            filter: options.topic.as_deref().map(Template::parse).transpose()?,
            subscribe_qos: options.qos,
            ..base
        }),
        Scenario::Offline(options) => {
            let mut base = Plan {
                scenario: "offline",
                story: Story::Offline,
                subscribers: options.pairs,
                publishers: options.pairs,
                audience: Audience::Partner,
                subscribe_qos: options.ahead.qos,
                ..base
            };
            if base.identity.session_expiry == 0 {
                base.identity.session_expiry = KEPT_SECONDS;
            }
            let plan = ahead(base, &options.ahead, u64::from(options.pairs) * u64::from(options.each), "%i")?;
            Ok(Plan { filter: Some(plan.topic.clone()), ..plan })
        }
        Scenario::Retained(options) => {
            let base = Plan {
                scenario: "retained",
                story: Story::Retained,
                subscribers: options.subs,
                publishers: options.pubs.min(options.topics),
                audience: Audience::All,
                subscribe_qos: options.ahead.qos,
                retain: true,
                ..base
            };
            let filter = Template::parse(&format!("load/{:04x}/+/+", base.tag))?;
            let plan = ahead(base, &options.ahead, u64::from(options.topics), "%i/%s")?;
            Ok(Plan { filter: Some(filter), ..plan })
        }
        Scenario::FanIn(options) => {
            fan(Plan { scenario: "fan-in", audience: Audience::All, ..base }, options, FAN_IN, files)
        }
        Scenario::FanOut(options) => {
            fan(Plan { scenario: "fan-out", audience: Audience::All, ..base }, options, FAN_OUT, files)
        }
        Scenario::Shared(options) => {
            fan(Plan { scenario: "shared", audience: Audience::Group, ..base }, options, SHARED, files)
        }
    }
}

fn fan(base: Plan, options: &FanOptions, (publishers, subscribers): (u32, u32), files: &Files) -> Result<Plan, String> {
    let base = Plan {
        publishers: options.pubs.unwrap_or(publishers),
        subscribers: options.subs.unwrap_or(subscribers),
        subscribe_qos: options.receive.sub_qos.unwrap_or(options.messages.qos),
        subscription: options.receive.subscribe.subscription(base.identity.version)?,
        ..base
    };
    let tag = base.tag;
    let plan = with_messages(base, &options.messages, &options.common.time, files)?;
    let filter = match (&options.filter, &options.messages.topic) {
        (Some(filter), _) => filter.clone(),
        (None, None) => format!("load/{tag:04x}/+"),
        (None, Some(topic)) => {
            if plan.topic.varies() || plan.topic.tells_clients_apart() {
                return Err(format!("--topic {topic} names many topics: say with --filter what is subscribed to"));
            }
            topic.clone()
        }
    };
    if filter.starts_with("$share/") {
        return Err("--filter is without $share: the scenario shared puts it in front".to_owned());
    }
    Ok(Plan { filter: Some(Template::parse(&filter)?), ..plan })
}

/// Messages that are sent before somebody comes for them; they are acknowledged, so that all are there by then.
fn ahead(base: Plan, options: &AheadOptions, messages: u64, last_levels: &str) -> Result<Plan, String> {
    if options.qos == QoS::AtMostOnce {
        return Err("--qos is 1 or 2 here: only what is acknowledged is known to wait".to_owned());
    }
    let topic = Template::parse(&format!("load/{:04x}/{last_levels}", base.tag))?;
    let payload = stamped(options.size)?;
    let window = Some(options.inflight);
    Ok(Plan { topic, payload, qos: options.qos, pace: Pace::Closed, window, limit: Some(messages), ..base })
}

fn stamped(size: usize) -> Result<Payload, String> {
    if size < Stamp::SHORT_BYTES {
        return Err(format!(
            "--size {size} has no room for the stamp of {} bytes by which messages are accounted for",
            Stamp::SHORT_BYTES
        ));
    }
    Ok(Payload::Stamped(size))
}

fn with_messages(base: Plan, options: &MessageOptions, time: &TimeOptions, files: &Files) -> Result<Plan, String> {
    let tag = base.tag;
    let topic = options.topic.clone().unwrap_or_else(|| format!("load/{tag:04x}/%i"));
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(format!("--topic {topic:?} is not a Topic Name: it has neither + nor #, and is not empty"));
    }
    let payload = match options.message.as_deref() {
        Some(message) => match message.strip_prefix("template://") {
            Some(path) => {
                let text = files.read(path).map_err(|error| format!("--message: {error}"))?;
                Payload::Template(PayloadTemplate::parse(&text, options.size))
            }
            None => Payload::Literal(message.as_bytes().to_vec()),
        },
        None => stamped(options.size).map_err(|error| format!("{error}; --message sends any bytes without it"))?,
    };
    if options.properties.payload_utf8 && matches!(payload, Payload::Stamped(_)) {
        return Err("--payload-utf8 needs --message: a stamp is not UTF-8".to_owned());
    }
    if matches!(payload, Payload::Stamped(..Stamp::BYTES)) && base.publishers >= Stamp::SHORT_PUBLISHERS {
        return Err(format!(
            "--size below {} tells {} publishers apart, no more",
            Stamp::BYTES,
            Stamp::SHORT_PUBLISHERS
        ));
    }
    let template = Template::parse(&topic)?;
    if options.properties.topic_alias && template.varies() {
        return Err("--topic-alias needs a topic that stays the same, without %s and %rand".to_owned());
    }
    if let Some(interval) = options.retry_interval {
        if base.identity.version.is_v5() {
            return Err(
                "--retry-interval needs version 3 or 4: in MQTT 5 messages are sent again only after a reconnect"
                    .to_owned(),
            );
        }
        if interval.is_zero() || options.qos == QoS::AtMostOnce {
            return Err("--retry-interval is above 0, and for QoS 1 and 2".to_owned());
        }
    }
    if payload.len() > 200 << 20 {
        return Err("a payload is at most 200 MiB".to_owned());
    }
    let rate = options.rate.or_else(|| {
        options.interval_of_msg.map(|interval| f64::from(base.publishers) / interval.as_secs_f64().max(1e-9))
    });
    if options.interval_of_msg.is_some_and(|interval| interval.is_zero()) {
        return Err("--interval-of-msg is above 0; --inflight 0 publishes without a pause".to_owned());
    }
    if let Some(rate) = rate.filter(|rate| *rate > RATE_MAX) {
        return Err(format!("a rate of {rate} messages a second is over {RATE_MAX}"));
    }
    let pace = rate.map_or(Pace::Closed, Pace::Open);
    let random_wait = options.max_random_wait.map(|most| (options.min_random_wait.unwrap_or_default(), most));
    if random_wait.is_some_and(|(least, most)| least > most) {
        return Err("--min-random-wait is above --max-random-wait".to_owned());
    }
    let paced = rate.is_some() || base.scenario == "pub" && options.inflight.is_none();
    if random_wait.is_some() && !paced {
        return Err("--max-random-wait needs --rate or --interval-of-msg".to_owned());
    }
    // Without a stamp nobody knows what was delivered.
    let countable = matches!(payload, Payload::Stamped(_)) && base.copies() > 0 || options.qos != QoS::AtMostOnce;
    let window = match (options.inflight, pace) {
        (Some(0), _) | (None, Pace::Open(_)) => None,
        (Some(_), _) if !countable => {
            return Err(
                "--inflight with QoS 0 counts deliveries, which needs subscribers and a stamped payload".to_owned()
            );
        }
        (None, Pace::Closed) if !countable => None,
        (Some(_), Pace::Open(_)) if options.qos == QoS::AtMostOnce => {
            return Err("--rate with QoS 0 waits for nothing: --inflight has no meaning there".to_owned());
        }
        (Some(inflight), _) => Some(inflight),
        (None, Pace::Closed) if options.qos == QoS::AtMostOnce => {
            Some(if base.scenario == "pairs" { WINDOW_QOS_0_PAIRS } else { WINDOW_QOS_0 })
        }
        (None, Pace::Closed) => Some(WINDOW),
    };
    Ok(Plan {
        topic: template,
        qos: options.qos,
        retain: options.retain,
        description: options.properties.description(base.identity.version)?,
        retry_interval: options.retry_interval,
        random_wait,
        payload,
        pace,
        window,
        // A run that is as long as its messages has none to spare for warming up, unless it is asked to.
        warm_up: if options.limit.is_some() && time.warm_up.is_none() { Duration::ZERO } else { base.warm_up },
        limit: options.limit.map(u64::from),
        idle: options.idle,
        ..base
    })
}

/// What all scenarios have in common; nobody publishes or subscribes in it.
fn base(options: &CommonOptions, tag: u16) -> Result<Plan, String> {
    let connect = &options.connect;
    let (properties, will_properties) = connect.properties.encoded(connect.version)?;
    let template = |text: &Option<String>| text.as_deref().map(Template::parse).transpose();
    let will = match &connect.will_topic {
        None => None,
        Some(topic) => Some(Will {
            topic: Template::parse(topic)?,
            payload: connect.will_payload.clone().into_bytes(),
            qos: connect.will_qos,
            retain: connect.will_retain,
            properties: will_properties,
        }),
    };
    if connect.session_expiry > 0 && !connect.version.is_v5() {
        return Err("--session-expiry needs version 5".to_owned());
    }
    if connect.password.is_some() && connect.username.is_none() && !connect.version.is_v5() {
        return Err(format!("MQTT {} has no password without a user name", connect.version));
    }
    let interval = connect.interval.filter(|interval| !interval.is_zero());
    let targets = targets(connect)?;
    let sources = connect.ifaddr.as_deref().map_or_else(|| Ok(Vec::new()), sources)?;
    if let Some(source) =
        sources.iter().find(|source| targets.iter().any(|target| target.is_ipv4() != source.is_ipv4()))
    {
        return Err(format!("--ifaddr {source} cannot reach a broker of the other address family"));
    }
    Ok(Plan {
        scenario: "",
        name: String::new(),
        story: Story::Plain,
        tag,
        workers: connect.workers.unwrap_or_else(|| sys::allowed_cpus().min(2) as u32),
        ramp: Ramp {
            targets,
            sources,
            rate: connect.connrate.or_else(|| interval.map(|interval| 1.0 / interval.as_secs_f64())),
            pending: PENDING,
            timeout: connect.connect_timeout,
            retries: connect.num_retry_connect,
            reconnects: connect.reconnect.0,
        },
        identity: Identity {
            version: connect.version,
            keep_alive: connect.keepalive,
            clean_start: connect.clean,
            session_expiry: connect.session_expiry,
            properties,
            username: template(&connect.username)?,
            password: template(&connect.password)?,
            will,
            prefix: connect.prefix.clone().unwrap_or_else(|| match connect.shortids {
                true => String::new(),
                false => format!("ml{tag:04x}-"),
            }),
            short_ids: connect.shortids,
            first_number: connect.startnumber,
        },
        subscribers: 0,
        publishers: 0,
        idle: 0,
        audience: Audience::Nobody,
        filter: None,
        subscribe_qos: QoS::AtMostOnce,
        subscription: Subscription::default(),
        topic: Template::parse("")?,
        qos: QoS::AtMostOnce,
        retain: false,
        payload: Payload::Literal(Vec::new()),
        description: Description::default(),
        retry_interval: None,
        random_wait: None,
        pace: Pace::Closed,
        window: None,
        limit: None,
        warm_up: options.time.warm_up.unwrap_or(WARM_UP),
        duration: options.time.duration,
        drain: options.time.drain,
    })
}

/// A number that two runs hardly have in common.
pub(crate) fn tag() -> u16 {
    let mixed = (sys::now() ^ u64::from(std::process::id()) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    fn planned(arguments: &[&str]) -> Result<Plan, String> {
        plan(&parse(arguments).map_err(|error| error.to_string())?, 0x1234, &Files::default())
    }

    #[test]
    fn a_rate_makes_the_open_loop_and_nothing_the_closed_one() {
        let open = planned(&["pairs", "--rate", "10k"]).expect("legal");
        assert_eq!((open.pace, open.window), (Pace::Open(10_000.0), None));
        let paced = planned(&["pairs", "-c", "50", "-I", "100"]).expect("legal");
        assert_eq!(paced.pace, Pace::Open(500.0));
        let closed = planned(&["pairs"]).expect("legal");
        assert_eq!((closed.pace, closed.window), (Pace::Closed, Some(WINDOW_QOS_0_PAIRS)));
        let gathered = planned(&["fan-in"]).expect("legal");
        assert_eq!((gathered.pace, gathered.window), (Pace::Closed, Some(WINDOW_QOS_0)));
        let acknowledged = planned(&["pairs", "-q", "1"]).expect("legal");
        assert_eq!(acknowledged.window, Some(WINDOW));
        let flood = planned(&["pairs", "-F", "0"]).expect("legal");
        assert_eq!((flood.pace, flood.window), (Pace::Closed, None));
    }

    #[test]
    fn a_publisher_alone_sends_a_message_a_second() {
        let plan = planned(&["pub", "-c", "300"]).expect("legal");
        assert_eq!((plan.pace, plan.window, plan.copies()), (Pace::Open(300.0), None, 0));
        let windowed = planned(&["pub", "-q", "1", "-F", "5"]).expect("legal");
        assert_eq!((windowed.pace, windowed.window), (Pace::Closed, Some(5)));
    }

    #[test]
    fn everyone_gets_what_the_scenario_says() {
        let fan_in = planned(&["fan-in"]).expect("legal");
        assert_eq!((fan_in.publishers, fan_in.subscribers, fan_in.copies()), (50, 1, 1));
        let fan_out = planned(&["fan-out", "--subs", "7"]).expect("legal");
        assert_eq!((fan_out.publishers, fan_out.subscribers, fan_out.copies()), (1, 7, 7));
        let shared = planned(&["shared"]).expect("legal");
        assert_eq!((shared.audience, shared.copies()), (Audience::Group, 1));
        let conn = planned(&["conn", "-c", "10"]).expect("legal");
        assert_eq!((conn.connections(), conn.publishers), (10, 0));
    }

    #[test]
    fn topics_that_cannot_work_are_refused_before_the_run() {
        for wrong in [
            &["pairs", "-t", "same"][..],
            &["pairs", "-t", "a/%i/%s"],
            &["pub", "-t", "a/#"],
            &["fan-in", "-t", "a/%i"],
            &["shared", "--filter", "$share/g/a"],
            &["pub", "-t", "a/%q"],
            &["pairs", "-s", "15"],
            &["pub", "-q", "0", "-F", "5"],
            &["pairs", "--rate", "5", "-F", "5"],
            &["conn", "-V", "4", "-x", "60"],
            &["conn", "-V", "4", "-P", "secret"],
            &["conn", "--ifaddr", "127.0.0.9-127.0.0.2"],
            &["conn", "-h", ","],
            &["pub", "-I", "0"],
            &["pub", "--rate", "2g"],
            &["conn", "-h", "::1", "--ifaddr", "127.0.0.2"],
            &["pub", "-V", "4", "--user-property", "a=b"],
            &["conn", "-V", "4", "--receive-maximum", "5"],
            &["sub", "-t", "a", "-V", "4", "--no-local"],
            &["pub", "--payload-utf8"],
            &["pub", "--topic-alias", "-t", "a/%s"],
            &["pub", "-q", "1", "--retry-interval", "500"],
            &["pub", "-V", "4", "--retry-interval", "500"],
            &["pub", "-m", "template:///there/is/no/such/file"],
            &["conn", "--will-delay", "5"],
            &["pairs", "--max-random-wait", "5"],
            &["pub", "--min-random-wait", "9", "--max-random-wait", "5"],
        ] {
            assert!(planned(wrong).is_err(), "{wrong:?}");
        }
        assert!(planned(&["fan-in", "-t", "a/%i", "--filter", "a/+"]).is_ok());
    }

    #[test]
    fn a_limit_is_divided_without_a_rest() {
        let plan = planned(&["pairs", "-c", "3", "-L", "10"]).expect("legal");
        assert_eq!(plan.warm_up, Duration::ZERO);
        let warm = planned(&["pairs", "-L", "10", "--warm-up", "2s"]).expect("legal");
        assert_eq!(warm.warm_up, Duration::from_secs(2));
        let limits: Vec<u64> = (0..3).map(|publisher| plan.limit_of(publisher)).collect();
        assert_eq!(limits, [4, 3, 3]);
    }
}
