//! The choice of the engine, above all where io_uring is refused as container runtimes refuse it.

use millrace_tests::broker::{Setup, fresh_dir, program};
use millrace_tests::process;
use millrace_tests::wire::{Client, Publish, VERSIONS, unique};

#[test]
fn where_io_uring_is_refused_the_broker_says_so_and_serves() {
    let broker = Setup::new().engine("auto").refuse_io_uring().start();
    let output = broker.output();
    assert!(output.contains("epoll"), "{output}");
    assert!(output.contains("EPERM") || output.contains("not permitted"), "{output}");
    assert!(output.contains("seccomp"), "{output}");
    for version in VERSIONS {
        let id = unique("refused", version);
        let mut client = Client::connect(&broker, version, &id);
        client.subscribe(&id, 2);
        let mut publisher = Client::connect(&broker, version, &format!("{id}-publisher"));
        for qos in 0..3 {
            publisher.publish(Publish::new(&id, "served").qos(qos, 0));
            let delivery = client.expect_payload("served");
            client.acknowledge(&delivery);
        }
    }
    assert!(broker.stop().success());
}

#[test]
fn an_engine_that_was_demanded_and_is_refused_stops_the_start() {
    let dir = fresh_dir("demanded");
    let mut command = std::process::Command::new(program());
    command
        .args(["run", "--set", "listeners.default.port=0", "--set", "engine=io_uring"])
        .args(["--set", &format!("data_dir={}", dir.display())])
        .current_dir(&dir);
    process::refuse_io_uring(&mut command);
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let _ = std::fs::remove_dir_all(&dir);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("io_uring"), "{said}");
}

#[test]
fn epoll_may_be_chosen() {
    let broker = Setup::new().engine("epoll").start();
    let mut client = Client::connect(&broker, VERSIONS[2], "chosen");
    client.ping();
    assert!(broker.stop().success());
}
