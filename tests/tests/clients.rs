//! Client programs and libraries of others talk through the broker in every version and QoS they know.
//!
//! `./tests/run clients` installs them; each suite is in `tests/clients/` and reports its checks by line.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, program};

/// A suite of a client library takes some ten seconds; the machine may be busy.
const SUITE_MAX: Duration = Duration::from_secs(240);

/// Where `tests/run` keeps what it downloads.
fn cache() -> PathBuf {
    std::env::var_os("MILLRACE_TEST_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/millrace-tests"),
        PathBuf::from,
    )
}

fn suite(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Runs a command to its end and gives back what it said.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}; ./tests/run clients installs it"));
    finish(child, &shown, SUITE_MAX)
}

#[track_caller]
fn finish(mut child: Child, shown: &str, limit: Duration) -> Output {
    let until = Instant::now() + limit;
    while child.try_wait().expect("our child can be waited for").is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            let said = child.wait_with_output().expect("its output can be read");
            panic!("{shown} does not end:\n{}", String::from_utf8_lossy(&said.stdout));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output can be read")
}

/// Runs a suite against the shared broker; every check must hold.
#[track_caller]
fn run_suite(command: &mut Command, checks: usize) {
    let address = Broker::shared().address();
    let output = run(command.arg(address.ip().to_string()).arg(address.port().to_string()));
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let held = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(
        output.status.success() && held == checks,
        "{held} of {checks} checks hold:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn paho_talks_in_every_version() {
    let python = cache().join("python/bin/python");
    run_suite(Command::new(python).arg(suite("paho_suite.py")), 19);
}

#[test]
fn gmqtt_talks_in_every_version() {
    let python = cache().join("python/bin/python");
    run_suite(Command::new(python).arg(suite("gmqtt_suite.py")), 11);
}

#[test]
fn mqtt_js_talks_in_every_version() {
    let mut node = Command::new("node");
    node.arg(suite("mqttjs_suite.mjs")).env("MILLRACE_NODE_MODULES", cache().join("node/node_modules"));
    run_suite(&mut node, 16);
}

/// A subscriber program that prints `count` messages and ends.
fn subscriber(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; ./tests/run clients installs it"))
}

#[test]
fn mosquitto_tools_talk_in_every_version() {
    let port = Broker::shared().address().port().to_string();
    let tool = |name: &str, version: &str| {
        let mut command = Command::new(name);
        command.args(["-h", "127.0.0.1", "-p", &port, "-V", version]);
        command
    };
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let topic = format!("mosquitto/{version}/{qos}");
            // Retained, so that nobody must know when the subscriber is ready.
            let publish = |payload: &str| {
                let mut command = tool("mosquitto_pub", version);
                let output = run(command.args(["-q", qos, "-r", "-t", &topic, "-m", payload]));
                assert!(output.status.success(), "{output:?}");
            };
            publish("kept");
            let mut command = tool("mosquitto_sub", version);
            command.args(["-q", qos, "-t", &topic, "-C", "2", "-W", "20", "-F", "%p %q %r", "-v"]);
            let child = subscriber(command);
            let mut watcher = tool("mosquitto_sub", version);
            watcher.args(["-q", qos, "-t", &topic, "-C", "1", "-W", "20"]);
            assert!(run(&mut watcher).status.success());
            // The watcher subscribed after the subscriber was started; give that one its time as well.
            std::thread::sleep(Duration::from_millis(300));
            publish("live");
            let output = finish(child, "mosquitto_sub", Duration::from_secs(25));
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said, format!("kept {qos} 1\nlive {qos} 0\n"), "{output:?}");
            publish("");
        }
    }
    // A session that waits, and properties, as version 5 has them on the command line.
    let mut command = tool("mosquitto_sub", "mqttv5");
    command.args(["-i", "mosquitto-session", "-c", "-x", "100", "-q", "1", "-t", "mosquitto/session", "-E"]);
    assert!(run(&mut command).status.success());
    let mut command = tool("mosquitto_pub", "mqttv5");
    command.args(["-q", "1", "-t", "mosquitto/session", "-m", "waited"]);
    command.args(["-D", "publish", "content-type", "text/plain"]);
    command.args(["-D", "publish", "user-property", "name", "value"]);
    assert!(run(&mut command).status.success());
    let mut command = tool("mosquitto_sub", "mqttv5");
    command.args(["-i", "mosquitto-session", "-c", "-x", "100", "-q", "1", "-t", "mosquitto/session"]);
    let output = run(command.args(["-C", "1", "-W", "20", "-F", "%p %C %P"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "waited text/plain name:value\n");
}

#[test]
fn the_programs_own_client_talks_to_it() {
    let port = Broker::shared().address().port().to_string();
    let client = |verb: &str| {
        let mut command = Command::new(program());
        command.args([verb, "-h", "127.0.0.1", "-p", &port]);
        command
    };
    for version in ["31", "311", "5"] {
        for qos in ["0", "1", "2"] {
            let topic = format!("own/{version}/{qos}");
            let output = run(client("pub").args(["-V", version, "-q", qos, "-r", "-t", &topic, "-m", "hello"]));
            assert!(output.status.success(), "{output:?}");
            let mut command = client("sub");
            command.args(["-V", version, "-q", qos, "-t", &topic]);
            let mut child = subscriber(command);
            std::thread::sleep(Duration::from_millis(800));
            millrace_tests::process::signal(child.id(), libc::SIGINT).expect("our child can be signalled");
            let _ = child.try_wait();
            let output = finish(child, "millrace sub", Duration::from_secs(10));
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("hello"), "{output:?}");
        }
    }
}
