//! `millrace explain CODE`: the one table of all diagnostics, with cause, example and mend.

use std::fmt::Write as _;

use crate::diagnostics::nearest;
use crate::exit::Exit;

/// What there is to say about one code.
#[derive(Clone, Copy)]
struct Entry {
    code: &'static str,
    title: &'static str,
    cause: &'static str,
    example: &'static str,
    mend: &'static str,
}

macro_rules! entries {
    ($($code:ident $title:literal, $cause:literal, $example:literal, $mend:literal;)*) => {
        &[$(Entry { code: stringify!($code), title: $title, cause: $cause, example: $example, mend: $mend },)*]
    };
}

#[rustfmt::skip]
const ENTRIES: &[Entry] = entries! {
    C0101 "unknown key", "A key or section that this version does not have: most often a slip of the keys.",
        "max_conections = 50_000", "Write the key that the message names; `millrace print-config` lists all of them.";
    C0102 "wrong type", "The value has another type than its key wants. Durations and sizes are text with a unit.",
        "connect_timeout = 5", "connect_timeout = \"5s\"";
    C0103 "value out of range", "The type is right, the value is not among those allowed.",
        "maximum_qos = 3", "Choose a value within the bounds that the message names.";
    C0104 "environment or --set value", "A MILLRACE__… variable or a --set holds a value that its key cannot take.",
        "MILLRACE__LISTENERS__DEFAULT__PORT=http", "MILLRACE__LISTENERS__DEFAULT__PORT=1883";
    C0105 "not TOML", "The file breaks the rules of TOML at this place: a quote or bracket is open, or a key is there twice.",
        "address = 127.0.0.1", "address = \"127.0.0.1\"";
    C0106 "key missing", "A section lacks a key that has no default.", "[rules.hot] without sql", "Add the key that the message names.";
    C0107 "listeners clash", "Two enabled listeners want the same port on addresses that overlap; 0.0.0.0 and :: overlap with all.",
        "two listeners on port 1883", "Give one another port, or enabled = false.";
    C0108 "sink named wrongly", "A rule names a sink that does not exist, or the same one twice. Once a file has a [sinks.…] section the \
        built-in sink `local` is gone.", "sinks = [\"locl\"]", "Name a [sinks.NAME] that exists, once.";
    C0109 "not a name", "The name of a listener, rule or sink becomes a label in metrics and logs and so may only have letters, \
        digits, `_` and `-`, 64 at most.", "[rules.\"hot stuff\"]", "[rules.hot_stuff]";
    C0110 "no listener", "Every listener is switched off, so nobody could connect.", "[listeners.default] enabled = false",
        "Enable one, or stop the broker instead.";
    C0111 "bad mountpoint", "A mountpoint is put in front of topics, so it must be the beginning of a Topic Name.",
        "mountpoint = \"site/#\"", "mountpoint = \"site/\"";
    C0112 "file not readable", "The config file or its conf.d directory cannot be read, is no UTF-8 or is over 16 MiB.",
        "--config /etc/millrace/absent.toml", "Check the path and the rights of the user that runs the broker.";
    C0113 "reload refused", "SIGHUP found a config that does not hold; the broker runs on with the one that it has.",
        "kill -HUP after a typo", "Mend what the lines before it name (`millrace check-config` says the same) and send SIGHUP again.";
    C0114 "sink does not run yet", "A reload gave rules a sink that the broker was not started with. Rules change while the broker runs, \
        sinks do not.", "[sinks.new] and a rule that names it, then kill -HUP",
        "Restart the broker, or name a sink that runs.";
    C0120 "not an event", "The JSON that `millrace rules test` was given is no event: no object, a field of another type, or no \
        event of that name.", "{\"qos\": \"1\"}", "{\"qos\": 1}; `millrace rules events` lists the fields.";
    C0121 "case file wrong", "A file for `millrace rules test` that cannot be read as cases.",
        "[[case]] without expect", "Mend what the message names; expect = [] means that no row must come.";
    C0122 "not an export", "`millrace rules import` reads exports of EMQX: the JSON of 4.x, and of 5.x the tar.gz, its cluster.hocon or the \
        same as JSON, up to 32 MiB of text.", "millrace rules import emqx.conf.bak", "Export again: `emqx_ctl data export` (4.x), \
        `emqx ctl data export` (5.x).";
    H0001 "kernel too old", "io_uring as the broker drives it needs Linux 6.1; on older ones it runs on epoll.",
        "Linux 5.10", "Use a newer kernel, or live with engine = \"epoll\".";
    H0003 "io_uring refused", "A seccomp profile (Docker 25 and containerd 2 have one by default), kernel.io_uring_disabled or a kernel \
        without it refuses io_uring. With engine = \"auto\" the broker runs on epoll instead, at a higher cost a message.",
        "io_uring_setup: EPERM in a container",
        "docker run --security-opt seccomp=deploy/seccomp.json …; without a container sysctl -w kernel.io_uring_disabled=0";
    H0004 "no ring", "The kernel allows io_uring and lacks something to make a ring: memory, locked memory or descriptors.",
        "io_uring_setup: ENOMEM", "Raise the limit that the message names (LimitMEMLOCK=, LimitNOFILE=, MemoryMax=).";
    H0005 "a thread did not start", "A shard, or what it needs of the kernel, could not be made.", "no more threads or memory",
        "The message names the call; `millrace doctor` looks at all that the host must provide.";
    H0007 "port in use", "Another program listens on the address and port of a listener.", "mosquitto on 1883",
        "Stop it, or choose another port: --set listeners.default.port=18830";
    H0008 "cannot listen there", "The address is not one of this host, or the port is below 1024 and this user may not have it.",
        "address = \"10.9.9.9\", port = 443", "Use an address that `ip addr` shows, or 0.0.0.0 or ::; for low ports \
        AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit.";
    H0009 "number out of bounds", "More shards or listeners than the broker can number.", "300 listeners", "Configure fewer.";
    H0010 "few descriptors", "Each connection is a descriptor, so the limit is the number of connections that a shard can hold.",
        "ulimit -n 1024", "LimitNOFILE= in the unit, --ulimit nofile= in Docker, or ulimit -Hn in the shell; more shards help too.";
    H0011 "short accept queue", "net.core.somaxconn bounds how many connections wait to be accepted; a fleet that reconnects overruns a short one.",
        "net.core.somaxconn = 128", "sysctl -w net.core.somaxconn=4096";
    H0012 "few local ports", "Clients on this host (load tests, bridges) have only so many ports towards one address.",
        "net.ipv4.ip_local_port_range = 50000 60999", "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
    H0013 "little memory", "The memory that the cgroup or host leaves is less than an empty broker with its buffers wants.",
        "MemoryMax=64M", "Raise MemoryMax= or the container's limit.";
    H0014 "slow clock", "The clock source is slow to read, and every turn of a shard reads it.", "clocksource hpet",
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource where the machine has it.";
    H0015 "slow disk", "fdatasync in data_dir takes long; what waits for the disk takes as long.", "80 ms on a network disk",
        "Put data_dir on a local disk.";
    H0016 "few cores", "A quota grants less processor time than the affinity has cores; the shards follow the quota.", "cpus=1 in the container",
        "Raise the quota, or leave it: one shard works too.";
    H0020 "data_dir not writable", "The broker cannot make or write its data directory.", "data_dir = \"/var/lib/millrace\" owned by root",
        "chown it to the user that runs the broker, or choose another with --set data_dir=…";
    H0021 "data_dir in use", "Another broker holds the lock of this data directory; two would destroy each other's files.",
        "two brokers with one data_dir", "Stop the other one, or give each its own data_dir.";
    S0001 "sink setting", "A sink has a setting that cannot work.", "batch_rows = 0", "Choose a value within the bounds that the message names.";
    S0002 "no thread for a sink", "The operating system gave no thread for a sink.", "TasksMax= reached", "Raise TasksMax= or the container's pids limit.";
};

/// Runs the verb.
#[must_use]
pub fn run(code: &str) -> Exit {
    match text(code) {
        Ok(text) => {
            crate::out::say(&text);
            Exit::Done
        }
        Err(message) => {
            eprintln!("{message}");
            Exit::Usage
        }
    }
}

/// What there is to say, whichever crate says it.
fn entries() -> impl Iterator<Item = Entry> {
    let rules = millrace_rules::codes::CODES.iter().map(|rule| Entry {
        code: rule.code,
        title: rule.cause,
        cause: rule.cause,
        example: if rule.example.is_empty() { "a very long one" } else { rule.example },
        mend: rule.mended,
    });
    ENTRIES.iter().copied().chain(rules)
}

fn text(code: &str) -> Result<String, String> {
    let wanted = code.to_ascii_uppercase();
    if wanted == "ALL" {
        // Writing to a String cannot fail.
        return Ok(entries().fold(String::new(), |mut text, entry| {
            let _ = writeln!(text, "{}  {}", entry.code, entry.title);
            text
        }));
    }
    let Some(entry) = entries().find(|entry| entry.code == wanted) else {
        let hint = nearest(&wanted, entries().map(|entry| entry.code))
            .map_or_else(|| "`millrace explain all` lists them".to_owned(), |near| format!("did you mean {near}?"));
        return Err(format!("error: there is no code {}; {hint}", crate::diagnostics::printable(code)));
    };
    let title = if entry.title == entry.cause { String::new() } else { format!(": {}", entry.title) };
    Ok(format!(
        "{}{title}\n\n  cause    {}\n  example  {}\n  mend     {}\n",
        entry.code, entry.cause, entry.example, entry.mend
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Each code in quotes in the sources below a directory.
    fn codes(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).expect("sources are readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                codes(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs")
                && !path.ends_with("explain.rs")
                && !path.ends_with("codes.rs")
            {
                let text = std::fs::read_to_string(&path).expect("sources are readable");
                for part in text.split('"') {
                    let (letter, digits) = part.split_at_checked(1).unwrap_or(("", ""));
                    if "CHRSAL".contains(letter) && digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()) {
                        found.insert(part.to_owned());
                    }
                }
            }
        }
    }

    #[test]
    fn each_code_that_is_used_is_explained_and_the_other_way_round() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace");
        let mut used = BTreeSet::new();
        for name in ["core", "shards", "rules", "sinks", "broker"] {
            codes(&root.join(name).join("src"), &mut used);
        }
        let explained: BTreeSet<String> = entries().map(|entry| entry.code.to_owned()).collect();
        assert_eq!(explained.len(), entries().count(), "a code is there twice");
        let missing: Vec<_> = used.difference(&explained).collect();
        let unused: Vec<_> = explained.difference(&used).collect();
        assert!(missing.is_empty(), "used and not explained: {missing:?}");
        assert!(unused.is_empty(), "explained and not used: {unused:?}");
    }

    #[test]
    fn a_code_is_found_in_any_case_and_a_slip_is_answered() {
        assert!(text("c0101").is_ok_and(|text| text.starts_with("C0101: unknown key")));
        assert_eq!(text("C0191").expect_err("no such code"), "error: there is no code C0191; did you mean C0101?");
        assert!(text("all").is_ok_and(|text| text.lines().count() == entries().count()));
    }
}
