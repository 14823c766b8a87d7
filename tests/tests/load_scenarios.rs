//! Scenario files, mixes, the suite by name, properties, connections that come back, and runs on several machines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_tests::broker::{Broker, fresh_dir, load_program};
use millrace_tests::wire::{Client, Version};
use serde_json::Value;

const TOKEN: &str = "a token of the tests";

fn command(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(load_program());
    command.args(arguments).args(["-p", &address.port().to_string()]).stdin(Stdio::null());
    command
}

fn run(address: SocketAddr, arguments: &[&str]) -> Output {
    command(address, arguments).output().expect("the program can be started")
}

/// The report of a run that ended with this code.
#[track_caller]
fn report(address: SocketAddr, arguments: &[&str], code: i32) -> Value {
    let output = run(address, &[arguments, &["--json", "-"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in the report of {arguments:?}: {said}"))
}

#[track_caller]
fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[track_caller]
fn assert_exact(report: &Value) {
    for name in ["lost", "doubled", "reordered", "foreign", "unsent"] {
        assert_eq!(number(report, &format!("/messages/{name}")), 0, "{name} in {report:#}");
    }
    assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = fresh_dir("scenario").join(name);
    std::fs::write(&path, text).expect("a fresh folder takes files");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a folder of the tests is UTF-8")
}

const MIX: &str = "\
scenario = 'mixed'
rate = 1_000
warm-up = '0s'
duration = '1s'
workers = 2

[[stream]]
name = 'commands'
pairs = 10
weight = 2
qos = 2
size = 64

[[stream]]
name = 'telemetry'
scenario = 'shared'
version = 4
pubs = 20
subs = 3
weight = 7
qos = 1
size = 16

[[stream]]
scenario = 'fan-out'
pubs = 2
subs = 15
weight = 1

[[stream]]
scenario = 'conn'
count = 30
";

#[test]
fn each_stream_of_a_mix_is_accounted_for_by_itself() {
    let broker = Broker::shared();
    let mix = file("mix.toml", MIX);
    let report = report(broker.address(), &["run", text(&mix), "--expect", "lost=0"], 0);
    assert_exact(&report);
    assert_eq!(number(&report, "/connections/ready"), 20 + 23 + 17 + 30);
    let parts = report["parts"].as_array().expect("a list");
    let told: Vec<(&str, u64, u64)> = parts
        .iter()
        .map(|part| {
            (part["name"].as_str().expect("a name"), number(part, "/messages/sent"), number(part, "/messages/received"))
        })
        .collect();
    assert_eq!(told[0], ("commands", 200, 200));
    assert_eq!(told[1], ("telemetry", 700, 700));
    assert_eq!(told[2], ("fan-out", 100, 1500));
    assert_eq!((told[3].0, number(&parts[3], "/connections/ready")), ("conn", 30));
    assert_eq!(number(&report, "/messages/received"), 200 + 700 + 1500);
    assert_eq!(number(&parts[2], "/latency/delivery/count"), 1500);
    let table = run(broker.address(), &["run", text(&mix), "-d", "300ms"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("mixed") && table.contains("telemetry") && table.contains("lost 0"), "{table}");
}

#[test]
fn streams_can_be_typed() {
    let broker = Broker::shared();
    let arguments = [
        "mixed",
        "--stream",
        "pairs -c 5 -q 1 --weight 3",
        "--stream",
        "fan-in --pubs 4 --subs 2 --name in -m 'two words'",
        "--rate",
        "400",
        "-d",
        "500ms",
        "--warm-up",
        "0s",
    ];
    let report = report(broker.address(), &arguments, 0);
    assert_eq!((number(&report, "/parts/0/messages/sent"), number(&report, "/parts/0/messages/lost")), (150, 0));
    assert_eq!((number(&report, "/parts/1/messages/sent"), number(&report, "/parts/1/messages/foreign")), (50, 100));
}

#[test]
fn a_wrong_file_starts_nothing_and_is_told_in_full() {
    let broker = Broker::shared();
    let wrong = file("wrong.toml", "scenario = 'pairs'\npars = 5\nqos = 3\nrate = 'fast'\n");
    let output = run(broker.address(), &["run", text(&wrong)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["did you mean `pairs`?", "wrong.toml:3:7", "wrong.toml:4:8", "3 errors; nothing was started"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let help = run(broker.address(), &["run", text(&file("right.toml", "scenario = 'pairs'")), "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("--interval-of-msg"));
}

#[test]
fn the_suite_runs_at_any_scale() {
    let broker = Broker::shared();
    let list = run(broker.address(), &["suite", "list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert_eq!(list.lines().count(), 8, "{list}");
    let quick = ["-d", "1s", "--warm-up", "0s", "--scale"];
    let pairs = report(broker.address(), &[&["suite", "p2p-1K"], &quick[..], &["0.05"]].concat(), 0);
    assert_exact(&pairs);
    assert_eq!((number(&pairs, "/config/publishers"), number(&pairs, "/messages/received")), (50, 50));
    assert_eq!(number(&pairs, "/config/payload_bytes"), 16, "as it was published");
    let fan = report(broker.address(), &[&["suite", "fanout-5-1000-5-250K"], &quick[..], &["2%"]].concat(), 0);
    assert_exact(&fan);
    assert_eq!((number(&fan, "/messages/sent"), number(&fan, "/messages/received")), (250, 5_000));
    let shared = report(broker.address(), &[&["suite", "sharedsub-1K"], &quick[..], &["0.2"]].concat(), 0);
    assert_exact(&shared);
    assert_eq!((number(&shared, "/config/subscribers"), number(&shared, "/messages/received")), (1, 200));
}

#[test]
fn messages_have_the_properties_that_were_asked_for() {
    let broker = Broker::shared();
    let mut subscriber = Client::connect(broker, Version::V5, "properties-of-load");
    subscriber.subscribe("properties-of-load/#", 1);
    let arguments = [
        "pub",
        "-c",
        "1",
        "-L",
        "3",
        "--rate",
        "100",
        "-q",
        "1",
        "-t",
        "properties-of-load/x",
        "-m",
        "{\"a\":1}",
        "--message-expiry",
        "600",
        "--payload-utf8",
        "--content-type",
        "application/json",
        "--response-topic",
        "reply/%i",
        "--correlation-data",
        "c0",
        "--user-property",
        "unit=C",
        "--user-property",
        "site=a=b",
        "--topic-alias",
        "--will-topic",
        "properties-of-load/will",
        "--will-delay",
        "5",
        "--will-content-type",
        "w",
        "--connect-user-property",
        "who=load",
        "--receive-maximum",
        "7",
        "--maximum-packet-size",
        "100000",
    ];
    let report = report(broker.address(), &arguments, 0);
    assert_eq!((number(&report, "/messages/acked"), &report["errors"]), (3, &serde_json::json!({})));
    for _ in 0..3 {
        let delivery = subscriber.expect_payload("{\"a\":1}");
        assert_eq!(delivery.properties.number(0x01), Some(1));
        assert!(delivery.properties.number(0x02).is_some_and(|left| (590..=600).contains(&left)));
        assert_eq!(delivery.properties.text(0x03), Some("application/json"));
        assert_eq!(delivery.properties.text(0x08), Some("reply/0"));
        assert_eq!(delivery.properties.binary(0x09), Some(&b"c0"[..]));
        assert_eq!(delivery.properties.user(), [("unit", "C"), ("site", "a=b")]);
        subscriber.acknowledge(&delivery);
    }
    subscriber.leave();
}

#[test]
fn subscriptions_and_aliases_of_version_5_work_in_every_loop() {
    let broker = Broker::shared();
    for pace in [&["--rate", "1k"][..], &["-F", "10"]] {
        let arguments = [
            "pairs",
            "-c",
            "5",
            "-L",
            "500",
            "-q",
            "2",
            "--topic-alias",
            "--subscription-id",
            "5",
            "--no-local",
            "--retain-as-published",
            "--retain-handling",
            "2",
            "--subscribe-user-property",
            "a=b",
            "--topic-alias-maximum",
            "10",
            "--shortids",
            "--prefix",
            "alias",
        ];
        let report = report(broker.address(), &[&arguments[..], pace].concat(), 0);
        assert_exact(&report);
        assert_eq!((number(&report, "/messages/received"), number(&report, "/messages/acked")), (500, 500));
    }
}

#[test]
fn payloads_come_from_templates() {
    let broker = Broker::shared();
    let mut subscriber = Client::connect(broker, Version::V5, "templates-of-load");
    subscriber.subscribe("templates-of-load", 0);
    let template = file("payload.json", "{\"ms\":%TIMESTAMPMS%,\"n\":%SEQUENCE%,\"r\":\"%RANDOM%\"}");
    let message = format!("template://{}", text(&template));
    let arguments = [
        "pub",
        "-c",
        "1",
        "-L",
        "2",
        "--rate",
        "50",
        "-t",
        "templates-of-load",
        "-m",
        &message,
        "-s",
        "9",
        "--payload-utf8",
    ];
    let report = report(broker.address(), &arguments, 0);
    assert_eq!(number(&report, "/messages/sent"), 2);
    for sequence in 0..2 {
        let delivery = subscriber.expect_publish();
        let payload: Value = serde_json::from_slice(&delivery.payload).expect("it is JSON");
        assert_eq!((payload["n"].as_u64(), payload["r"].as_str().map(str::len)), (Some(sequence), Some(9)));
        assert!(payload["ms"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{payload}");
    }
    subscriber.leave();
}

#[test]
fn percentiles_can_be_asked_for() {
    let broker = Broker::shared();
    let arguments =
        ["pairs", "-c", "2", "-L", "100", "--rate", "1k", "--percentiles", "75,99.5", "--expect", "p97.5<10s"];
    let report = report(broker.address(), &arguments, 0);
    assert!(number(&report, "/latency/delivery/p75_ns") <= number(&report, "/latency/delivery/p99_5_ns") + 1_000);
    assert_eq!(report["expectations"][0]["held"], true);
}

/// Stands between clients and a broker, and can cut all that goes through it.
struct Relay {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Refuses so many connections first, by closing them at once.
    fn start(to: SocketAddr, mut refused: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&streams);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if refused > 0 {
                    refused -= 1;
                    continue;
                }
                let Ok(server) = TcpStream::connect(to) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) =
                        (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().expect("nobody panics with it").extend([client, server]);
            }
        });
        Self { address, streams }
    }

    fn cut(&self) {
        for stream in self.streams.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn connections_that_are_lost_come_back_and_lose_nothing() {
    let broker = Broker::shared();
    for version in ["4", "5"] {
        let relay = Relay::start(broker.address(), 0);
        let arguments = [
            "pairs",
            "-c",
            "4",
            "-q",
            "2",
            "--rate",
            "400",
            "-d",
            "4s",
            "--warm-up",
            "0s",
            "-C",
            "false",
            "-V",
            version,
            "--reconnect",
            "infinity",
            "--json",
            "-",
        ];
        let expiry: &[&str] = if version == "5" { &["-x", "60"] } else { &[] };
        let mut command = command(relay.address, &[&arguments[..], expiry].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program can be started");
        std::thread::sleep(Duration::from_millis(2000));
        relay.cut();
        let output = child.wait_with_output().expect("it ends");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!((number(&report, "/connections/dropped"), number(&report, "/connections/returned")), (8, 8));
        assert_eq!(number(&report, "/connections/resumed"), 8, "{report:#}");
        assert_eq!((number(&report, "/messages/lost"), number(&report, "/messages/doubled")), (0, 0), "{report:#}");
        assert_eq!(number(&report, "/messages/sent"), 1600);
    }
}

#[test]
fn connections_that_do_not_get_ready_are_tried_again() {
    let broker = Broker::shared();
    let relay = Relay::start(broker.address(), 3);
    let arguments = ["conn", "-c", "5", "-d", "200ms", "--num-retry-connect"];
    let report = report(relay.address, &[&arguments[..], &["3"]].concat(), 0);
    assert_eq!((number(&report, "/connections/ready"), number(&report, "/connections/failed")), (5, 0), "{report:#}");
}

#[test]
fn what_is_not_acknowledged_is_sent_again() {
    // Answers CONNECT, and no PUBLISH but those that are sent again.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        stream.write_all(&[0x20, 2, 0, 0]).expect("it listens");
        loop {
            let bytes = reader.fill_buf().expect("it stays").to_vec();
            if bytes.is_empty() {
                return;
            }
            // PUBLISH of QoS 1 with DUP, to the topic "a", of which all are written at once.
            if let Some(at) = bytes.windows(5).position(|bytes| bytes[0] == 0x3A && bytes[2..] == [0, 1, b'a']) {
                stream.write_all(&[0x40, 2, bytes[at + 5], bytes[at + 6]]).expect("it listens");
            }
            reader.consume(bytes.len());
        }
    });
    let arguments = [
        "pub",
        "-c",
        "1",
        "-V",
        "4",
        "-q",
        "1",
        "-t",
        "a",
        "-s",
        "28",
        "-F",
        "1",
        "-L",
        "2",
        "-d",
        "3s",
        "--retry-interval",
        "200",
    ];
    let report = report(address, &arguments, 0);
    assert_eq!((number(&report, "/messages/sent"), number(&report, "/messages/acked")), (2, 2), "{report:#}");
    assert!(number(&report, "/messages/resent") >= 2, "{report:#}");
}

/// An agent that ends with the test.
struct Agent {
    child: Child,
    address: String,
}

impl Agent {
    fn start(token: Option<&str>) -> Self {
        let mut command = Command::new(load_program());
        command.args(["agent", "--listen", "127.0.0.1:0"]).env_remove("MILLRACE_LOAD_TOKEN");
        if let Some(token) = token {
            command.env("MILLRACE_LOAD_TOKEN", token);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let said = lines.next().expect("it says where it listens").expect("it is text");
        let address = said.split_whitespace().find(|word| word.contains(':')).expect("an address");
        let address = address.trim_end_matches(',').to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn led(broker: &Broker, agents: &[&Agent], arguments: &[&str]) -> Command {
    let addresses: Vec<&str> = agents.iter().map(|agent| agent.address.as_str()).collect();
    let mut command = command(broker.address(), arguments);
    command.args(["--agents", &addresses.join(","), "--json", "-"]).env("MILLRACE_LOAD_TOKEN", TOKEN);
    command
}

#[track_caller]
fn led_report(broker: &Broker, agents: &[&Agent], arguments: &[&str]) -> Value {
    let output = led(broker, agents, arguments).output().expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in the report of {arguments:?}: {said}"))
}

#[test]
fn several_agents_are_one_run() {
    let broker = Broker::shared();
    let (one, other) = (Agent::start(Some(TOKEN)), Agent::start(Some(TOKEN)));
    let both = [&one, &other];
    let mix = file("mix.toml", MIX);
    for (arguments, ready, received) in [
        (&["pairs", "-c", "11", "-q", "1", "--rate", "1k", "-L", "1000", "-R", "500"][..], 22, 1000),
        (&["fan-in", "--pubs", "10", "--subs", "3", "-q", "1", "-L", "900"], 13, 2700),
        (&["shared", "--pubs", "7", "--subs", "5", "--rate", "1k", "-L", "500"], 12, 500),
        (&["offline", "-c", "6", "--each", "20"], 12, 120),
        (&["retained", "--topics", "50", "--pubs", "3", "--subs", "4"], 7, 200),
        (&["run", text(&mix)], 90, 2400),
    ] {
        let report = led_report(broker, &both, arguments);
        assert_exact(&report);
        assert_eq!((number(&report, "/connections/ready"), number(&report, "/messages/received")), (ready, received));
        let members = report["agents"]["members"].as_array().expect("a list");
        let connections: Vec<u64> = members.iter().map(|member| number(member, "/connections")).collect();
        assert_eq!(connections.iter().sum::<u64>(), ready, "{arguments:?}");
        assert!(connections.iter().all(|each| *each > 0), "{arguments:?}: {connections:?}");
        assert!(number(&members[0], "/clock_error_ns") < 50_000_000);
    }
    let storm = led_report(broker, &both, &["reconnect", "-c", "30", "--rounds", "2"]);
    assert_eq!(number(&storm, "/connections/returned"), 60);
}

#[test]
fn files_go_along_to_the_agents() {
    let broker = Broker::shared();
    let agent = Agent::start(Some(TOKEN));
    let template = file("payload.txt", "%SEQUENCE% of %CLIENTID%");
    let message = format!("template://{}", text(&template));
    let report = led_report(broker, &[&agent], &["pub", "-c", "4", "-L", "20", "--rate", "200", "-m", &message]);
    assert_eq!(number(&report, "/messages/sent"), 20);
}

#[test]
fn an_agent_that_dies_ends_the_run_with_a_report_of_what_is_there() {
    let broker = Broker::shared();
    let (stays, mut dies) = (Agent::start(Some(TOKEN)), Agent::start(Some(TOKEN)));
    let arguments = ["pairs", "-c", "8", "-q", "1", "--rate", "400", "-d", "60s", "--warm-up", "0s"];
    let mut run = led(broker, &[&stays, &dies], &arguments);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
    std::thread::sleep(Duration::from_millis(2500));
    dies.child.kill().expect("it is ours");
    let output = run.wait_with_output().expect("it ends long before its time");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("agent {} was lost", dies.address)), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(report["agents"]["members"][0]["lost"].is_null() && report["agents"]["members"][1]["lost"].is_string());
    assert!(number(&report, "/messages/received") > 100, "{report:#}");
    assert!(number(&report, "/measured/duration_ns") < 30_000_000_000);
    // The other one is free again.
    let again = led_report(broker, &[&stays], &["pairs", "-c", "2", "--rate", "100", "-L", "20"]);
    assert_exact(&again);
}

#[test]
fn a_leader_that_dies_leaves_its_agents_free() {
    let broker = Broker::shared();
    let agent = Agent::start(Some(TOKEN));
    let mut run = led(broker, &[&agent], &["pairs", "-c", "2", "--rate", "100", "-d", "60s"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be started");
    std::thread::sleep(Duration::from_millis(1500));
    let busy = led(broker, &[&agent], &["pairs", "-c", "2", "-L", "5"]).output().expect("the program can be started");
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&busy.stderr).contains("busy"), "{busy:?}");
    run.kill().expect("it is ours");
    let _ = run.wait();
    std::thread::sleep(Duration::from_millis(1000));
    assert_exact(&led_report(broker, &[&agent], &["pairs", "-c", "2", "--rate", "100", "-L", "20"]));
}

#[test]
fn an_agent_is_no_open_door() {
    let broker = Broker::shared();
    let open = Command::new(load_program())
        .args(["agent", "--listen", "0.0.0.0:0"])
        .env_remove("MILLRACE_LOAD_TOKEN")
        .output()
        .expect("the program can be started");
    assert_eq!(open.status.code(), Some(2), "{open:?}");
    let (guarded, unguarded) = (Agent::start(Some("another token of the tests")), Agent::start(None));
    for (agent, word) in [(&guarded, "does not have the token"), (&unguarded, "it has no token")] {
        let refused = led(broker, &[agent], &["pairs", "-c", "1", "-L", "1"]).output().expect("it can be started");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(word), "{refused:?}");
    }
    let mut without = led(broker, &[&guarded], &["pairs", "-c", "1", "-L", "1"]);
    let without = without.env_remove("MILLRACE_LOAD_TOKEN").output().expect("it can be started");
    assert!(String::from_utf8_lossy(&without.stderr).contains("wants a token"), "{without:?}");
    let loopback =
        command(broker.address(), &["pairs", "-c", "2", "--rate", "100", "-L", "20", "--agents", &unguarded.address])
            .env_remove("MILLRACE_LOAD_TOKEN")
            .output()
            .expect("it can be started");
    assert_eq!(loopback.status.code(), Some(0), "{loopback:?}");
}

#[test]
fn another_version_is_no_agent_of_ours() {
    let broker = Broker::shared();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        let hello = serde_json::json!({
            "program": "millrace-load", "version": "0.0.1", "protocol": 1, "nonce": "00", "token": true,
        });
        let hello = hello.to_string();
        stream.write_all(&(hello.len() as u32).to_be_bytes()).expect("it listens");
        stream.write_all(&[1]).expect("it listens");
        stream.write_all(hello.as_bytes()).expect("it listens");
        std::thread::sleep(Duration::from_secs(1));
    });
    let output = command(broker.address(), &["pairs", "-c", "1", "-L", "1", "--agents", &address])
        .env("MILLRACE_LOAD_TOKEN", TOKEN)
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("version 0.0.1"), "{output:?}");
    let impossible = led(broker, &[], &["pairs"]).output().expect("it can be started");
    assert_eq!(impossible.status.code(), Some(1), "{impossible:?}");
}
