//! Scenario files: what they can say, and what is said of those that are wrong.

use clap::CommandFactory as _;
use millrace_core::packet::{ProtocolVersion, QoS};

use super::*;
use crate::cli::{Cli, Scenario};
use crate::files::Files;
use crate::plan::{Audience, Pace};
use crate::run_plan::RunPlan;
use crate::scenario;

fn planned(text: &str) -> RunPlan {
    let scenario = read("test.toml", text, &[], &Files::default()).unwrap_or_else(|error| panic!("{error}"));
    scenario::run_plan(&scenario, 0x100, &Files::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn wrong(text: &str) -> String {
    read("test.toml", text, &[], &Files::default()).expect_err("it is wrong")
}

#[test]
fn keys_are_the_long_names_of_the_options() {
    let plan = planned(
        "scenario = 'pairs'\npairs = 1_000\nrate = '50k/s'\nqos = 1\nsize = '4KiB'\nversion = '3.1.1'\n\
         connect_timeout = '5s'\nclean = false\nretain = true\nduration = '90s'\nexpect = ['lost=0', 'p99<5ms']\n",
    );
    let part = &plan.parts[0];
    assert_eq!((part.publishers, part.pace, part.qos), (1000, Pace::Open(50_000.0), QoS::AtLeastOnce));
    assert_eq!((part.payload.len(), part.identity.version), (4096, ProtocolVersion::V311));
    assert!(part.retain && !part.identity.clean_start && !plan.is_mixed());
    assert_eq!((part.ramp.timeout.as_secs(), part.duration.as_secs()), (5, 90));
}

#[test]
fn every_option_of_every_scenario_can_be_written() {
    for name in crate::cli::scenario_names() {
        let command = Cli::command();
        let verb = command.find_subcommand(&name).expect("it is one");
        for argument in verb.get_arguments().filter(|argument| !matches!(argument.get_long(), Some("help" | "stream")))
        {
            let long = argument.get_long().expect("every option has a long name");
            let text = format!("scenario = '{name}'\n{long} = 'none of its values'\n");
            let error = read("test.toml", &text, &[], &Files::default()).err().unwrap_or_default();
            assert!(!error.contains("unknown key"), "{error}");
        }
    }
}

#[test]
fn what_is_typed_behind_the_file_has_the_last_word() {
    let typed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let file = "scenario = 'pairs'\npairs = 7\nqos = 1\n";
    let Ok(Scenario::Pairs(options)) = read("test.toml", file, &typed(&["-c", "9", "-p", "1999"]), &Files::default())
    else {
        panic!("it is legal")
    };
    assert_eq!((options.pairs, options.messages.qos, options.common.connect.port), (9, QoS::AtLeastOnce, 1999));
    let error = read("test.toml", file, &typed(&["--qos", "7"]), &Files::default()).expect_err("there is no such QoS");
    assert!(!error.contains("qos = 1"), "the file is not to blame: {error}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    let error = wrong(
        "scenario = 'pairs'\npars = 5\nqos = 3\nrate = 'fast'\nretain = 'yes'\nexpect = ['speed>5']\nsize = [1, 2]\n\
         workers = 0\n",
    );
    for part in [
        "--> test.toml:2:1",
        "did you mean `pairs`?",
        "`qos`: QoS is 0, 1 or 2",
        " 3 | qos = 3",
        "   |       ^",
        "test.toml:4:8",
        "`retain` is true or false",
        "names nothing that is measured",
        "`size` has one value, not a list",
        "`workers`: at least 1 is needed",
        "7 errors; nothing was started",
    ] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
}

#[test]
fn a_file_without_a_known_scenario_is_told_which_there_are() {
    assert!(wrong("pairs = 5\n").contains("has no `scenario`"));
    assert!(wrong("scenario = 'piars'\n").contains("did you mean \"pairs\"?"));
    assert!(wrong("scenario = 'mixed'\n").contains("[[stream]]"));
    assert!(wrong("scenario = 'sub'\n").contains("lacks `topic`"));
    assert!(wrong("scenario = 'pairs'\n[[stream]]\n").contains("pairs has no streams"));
    assert!(wrong("scenario = \n").contains("not TOML"));
}

#[test]
fn what_does_not_go_together_is_told_at_a_key() {
    let error = wrong("scenario = 'pairs'\nrate = 5\ninterval-of-msg = 10\n");
    assert!(error.contains("does not go with") && error.contains("test.toml:"), "{error}");
    let error = wrong("scenario = 'pairs'\ntopic = 'same'\n");
    assert!(error.contains("test.toml:2:9") && error.contains("topic of pairs needs %i"), "{error}");
}

#[test]
fn streams_take_from_the_whole_run_what_they_do_not_say() {
    let plan = planned(
        "host = '127.0.0.1'\nversion = 4\nrate = 1000\nconnrate = 300\n\
         [[stream]]\nname = 'a'\nweight = 3\npairs = 10\n\
         [[stream]]\nscenario = 'fan-in'\nversion = 5\npubs = 8\nsubs = 2\nqos = 1\n\
         [[stream]]\nscenario = 'shared'\nrate = 50\npubs = 4\nsubs = 1\n\
         [[stream]]\nscenario = 'conn'\ncount = 25\nkeepalive = 0\nreconnect = 3\n",
    );
    assert!(plan.is_mixed());
    let [pairs, fan, shared, parked] = plan.parts.as_slice() else { panic!("four streams") };
    assert_eq!((pairs.pace, fan.pace, shared.pace), (Pace::Open(750.0), Pace::Open(250.0), Pace::Open(50.0)));
    assert_eq!((pairs.identity.version, fan.identity.version), (ProtocolVersion::V311, ProtocolVersion::V5));
    assert_eq!((pairs.audience, fan.audience, shared.audience), (Audience::Partner, Audience::All, Audience::Group));
    assert_eq!((parked.identity.keep_alive, pairs.identity.keep_alive), (0, 300));
    assert_eq!((parked.ramp.reconnects, pairs.ramp.reconnects, plan.reconnects()), (Some(3), Some(0), true));
    assert_eq!(plan.whole.connections(), 20 + 10 + 5 + 25);
    let rates: f64 = plan.parts.iter().filter_map(|part| part.ramp.rate).sum();
    assert!((rates - 300.0).abs() < 1e-6);
    let names: Vec<&str> = plan.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["a", "fan-in", "shared", "conn"]);
    let ids: std::collections::HashSet<String> =
        plan.parts.iter().flat_map(|part| (0..part.connections()).map(|client| part.client_id(client))).collect();
    assert_eq!(ids.len(), 60, "nobody has the id of another");
}

#[test]
fn connections_are_dealt_out_by_weight() {
    let plan = planned(
        "clients = 1000\nprefix = 'x-'\n[[stream]]\nweight = 6\n[[stream]]\nscenario = 'conn'\nweight = 3\n\
         [[stream]]\nscenario = 'shared'\n",
    );
    let sizes: Vec<u32> = plan.parts.iter().map(|part| part.connections()).collect();
    assert_eq!(sizes, [600, 300, 100]);
    assert_eq!(plan.parts[1].identity.prefix, "x-conn-");
}

#[test]
fn streams_that_are_wrong_are_told_apart() {
    let error = wrong(
        "duration = '5s'\n[[stream]]\nduration = '9s'\npairs = 2\n[[stream]]\nscenario = 'offline'\n[[stream]]\ntpoic = 'a'\n",
    );
    for part in ["test.toml:3:1", "the whole run", "\"offline\" is no scenario here", "did you mean `topic`?"] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
    let error = wrong("[[stream]]\nname = 'a'\n[[stream]]\nname = 'a'\nqos = 1\n");
    assert!(error.contains("that of another stream") && error.contains("test.toml:4:8"), "{error}");
    let error = wrong("[[stream]]\n[[stream]]\ntopic = 'same'\n");
    assert!(error.contains("test.toml:3:9"), "{error}");
    let error = wrong("rate = 5\n[[stream]]\nrate = 9\n");
    assert!(error.contains("nobody to be dealt to"), "{error}");
}

#[test]
fn built_in_files_are_legal_and_found_by_their_beginnings() {
    for built_in in library::SUITE.iter().chain(library::EXAMPLES) {
        let plan = planned(built_in.text);
        assert!(plan.whole.connections() > 0 && built_in.text.starts_with("# "), "{}", built_in.name);
    }
    assert_eq!(library::find(library::SUITE, "P2P-1k").map(|found| found.name), Ok("p2p-1K-1K-1K-1K"));
    assert_eq!(
        library::find(library::SUITE, "singlenode-conn-tcp-1M-5K").map(|found| found.name),
        Ok("conn-tcp-1M-5K")
    );
    assert!(library::find(library::SUITE, "conn").is_err_and(|error| error.contains("conn-tcp-1M-5K")));
}

#[test]
fn the_suite_has_its_published_sizes_at_any_scale() {
    let sizes = |name: &str, scale: f64| {
        let found = library::find(library::SUITE, name).expect("it is built in");
        let mut scenario = read(found.name, found.text, &[], &Files::default()).expect("legal");
        scenario.scale(scale);
        let plan = scenario::run_plan(&scenario, 1, &Files::default()).expect("legal");
        let part = &plan.parts[0];
        let rate = match part.pace {
            Pace::Open(rate) => rate,
            Pace::Closed => 0.0,
        };
        (part.publishers, part.subscribers, (rate * part.copies() as f64).round() as u64)
    };
    assert_eq!(sizes("p2p-50K", 1.0), (50_000, 50_000, 50_000));
    assert_eq!(sizes("p2p-50K", 0.1), (5_000, 5_000, 5_000));
    assert_eq!(sizes("fanout-5", 1.0), (5, 1_000, 250_000));
    assert_eq!(sizes("fanout-5", 0.5), (5, 500, 125_000));
    assert_eq!(sizes("sharedsub-50K", 1.0), (50_000, 500, 50_000));
    assert_eq!(sizes("sharedsub-50K", 0.01), (500, 5, 500));
    assert_eq!(sizes("conn-tcp-1M", 2.0), (0, 2_000_000, 0));
}
