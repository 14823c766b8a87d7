//! Runs the program in a test: a free port, a data_dir of its own, killed when it is dropped.
//!
//! The environment chooses what all suites run on: `MILLRACE_TEST_ENGINE` (`io_uring` or `epoll`, otherwise the broker
//! chooses) and `MILLRACE_TEST_SHARDS` (otherwise 2). `MILLRACE_BIN` names another program than the one of this tree.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use crate::process;

/// The program is built in debug mode and the machine may be busy: far more than a start takes.
const START_MAX: Duration = Duration::from_secs(30);
/// The same for a stop.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How a broker is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    sets: Vec<String>,
    data_dir: Option<PathBuf>,
    engine: Option<String>,
    refuse_io_uring: bool,
    descriptors: Option<u32>,
}

impl Setup {
    /// The settings of the suites: port 0, the engine and shards of the environment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One `--set key=value`.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Self {
        self.sets.push(setting.to_owned());
        self
    }

    /// Uses a data_dir that outlives the broker.
    #[must_use]
    pub fn data_dir(mut self, dir: &Path) -> Self {
        self.data_dir = Some(dir.to_path_buf());
        self
    }

    /// Chooses the engine, whatever the environment says.
    #[must_use]
    pub fn engine(mut self, engine: &str) -> Self {
        self.engine = Some(engine.to_owned());
        self
    }

    /// Starts it under a filter that refuses io_uring.
    #[must_use]
    pub const fn refuse_io_uring(mut self) -> Self {
        self.refuse_io_uring = true;
        self
    }

    /// Starts it with at most so many descriptors.
    #[must_use]
    pub const fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Starts the broker and waits until it listens.
    #[must_use]
    pub fn start(self) -> Broker {
        Broker::start_with(self)
    }
}

/// A running broker.
pub struct Broker {
    child: Child,
    address: SocketAddr,
    data_dir: PathBuf,
    owns_data_dir: bool,
    output: Arc<Output>,
}

impl Broker {
    /// A broker with the settings of the suites.
    #[must_use]
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// The broker that all tests of this process share; use topics and client ids of your own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start_with(setup: Setup) -> Self {
        let (data_dir, owns_data_dir) = match setup.data_dir {
            Some(dir) => (dir, false),
            None => (fresh_dir("broker"), true),
        };
        let mut command = Command::new(program());
        command.arg("run");
        let mut set = |setting: &str| {
            command.arg("--set").arg(setting);
        };
        set("listeners.default.port=0");
        set(&format!("data_dir={}", data_dir.display()));
        if !setup.sets.iter().any(|s| s.starts_with("shards=")) {
            let shards = std::env::var("MILLRACE_TEST_SHARDS").unwrap_or_else(|_| "2".to_owned());
            set(&format!("shards={shards}"));
        }
        if let Some(engine) = setup.engine.or_else(|| std::env::var("MILLRACE_TEST_ENGINE").ok()) {
            set(&format!("engine={engine}"));
        }
        for setting in &setup.sets {
            set(setting);
        }
        if setup.refuse_io_uring {
            process::refuse_io_uring(&mut command);
        }
        if let Some(most) = setup.descriptors {
            process::limit_descriptors(&mut command, most);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILLRACE_") {
                command.env_remove(name);
            }
        }
        command.current_dir(&data_dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command);
        let output = Arc::new(Output::default());
        output.collect(child.stdout.take().expect("stdout is piped"));
        output.collect(child.stderr.take().expect("stderr is piped"));
        let address = output.wait_for(START_MAX, address_in).unwrap_or_else(|| {
            let _ = child.kill();
            let status = child.wait();
            panic!("the broker did not say where it listens ({status:?}):\n{}", output.text())
        });
        Self { child, address, data_dir, owns_data_dir, output }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data_dir.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written to stdout and stderr.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits until its output contains `text`.
    pub fn expect_output(&self, text: &str) {
        assert!(
            self.output.wait_for(STOP_MAX, |all| all.contains(text).then_some(())).is_some(),
            "the broker never said {text:?}:\n{}",
            self.output()
        );
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        process::signal(self.pid(), signal).expect("our child can be signalled");
    }

    /// Resident memory of the process, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running process has a status");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .expect("VmRSS is a number");
        kib * 1024
    }

    /// Descriptors that the process holds.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a running process has descriptors").count()
    }

    /// Time that its threads have spent on a core so far.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a running process has a stat");
        // Behind the name, which is in brackets: user and system time are words 14 and 15 of all.
        let (_, rest) = stat.rsplit_once(')').expect("the name is in brackets");
        let ticks: u64 =
            rest.split_whitespace().skip(11).take(2).map(|word| word.parse::<u64>().expect("ticks are a number")).sum();
        // The kernel tells every program of 100 ticks a second.
        Duration::from_millis(ticks * 10)
    }

    /// Stops it with SIGTERM and gives back how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child can be waited for").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + STOP_MAX;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child can be waited for") {
                return status;
            }
            assert!(Instant::now() < until, "the broker does not end:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Panics unless it still runs.
    pub fn assert_alive(&mut self) {
        let status = self.child.try_wait().expect("our child can be waited for");
        assert!(status.is_none(), "the broker ended with {status:?}:\n{}", self.output());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- the broker said:\n{}--", self.output());
        }
        if self.owns_data_dir {
            let _ = std::fs::remove_dir_all(&self.data_dir);
        }
    }
}

/// A new empty folder under the temporary one; whoever asks removes it.
#[must_use]
pub fn fresh_dir(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("millrace-test-{}-{what}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a temporary folder can be made");
    dir
}

/// The program of this tree, built in the profile of the tests.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("MILLRACE_BIN").map_or_else(|| build("millrace"), PathBuf::from))
}

/// The load generator of this tree, built in the profile of the tests.
#[must_use]
pub fn load_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("millrace-load"))
}

/// Builds a package whose program has the same name.
fn build(package: &str) -> PathBuf {
    // A test runs from target/PROFILE/deps/.
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests run from target/PROFILE/deps");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--package", package, "--bin", package])
        .arg("--target-dir")
        .arg(profile.parent().expect("target holds the profiles"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().expect("cargo can be run");
    assert!(status.success(), "{package} does not build");
    profile.join(package)
}

/// Starts a process from a thread that never ends, so that it dies with this process and not before.
fn spawn(mut command: Command) -> Child {
    type Request = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    process::die_with_parent(&mut command);
    let shown = format!("{command:?}");
    let (answer, result) = mpsc::channel();
    spawner
        .lock()
        .expect("nobody panics with the lock")
        .send((command, answer))
        .expect("the spawning thread never ends");
    match result.recv().expect("the spawning thread answers") {
        Ok(child) => child,
        Err(error) => panic!("{shown} cannot be started: {error}"),
    }
}

/// Where the first listener listens, as the broker says when it is ready: a line `mqtt ADDRESS …`.
fn address_in(output: &str) -> Option<SocketAddr> {
    if !output.contains("ready in") {
        return None;
    }
    output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("mqtt")).then(|| words.next()?.parse().ok())?
    })
}

/// What a process has written, line by line, from both of its outputs.
#[derive(Default)]
struct Output {
    text: Mutex<String>,
    grew: Condvar,
}

impl Output {
    fn collect(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let Ok(line) = line else { break };
                let mut text = output.text.lock().expect("nobody panics with the lock");
                let _ = writeln!(text, "{line}");
                output.grew.notify_all();
            }
        });
    }

    fn text(&self) -> String {
        self.text.lock().expect("nobody panics with the lock").clone()
    }

    /// What `find` finds in the output, as soon as it does.
    fn wait_for<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + limit;
        let mut text = self.text.lock().expect("nobody panics with the lock");
        loop {
            if let Some(found) = find(&text) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            (text, _) = self.grew.wait_timeout(text, left).expect("nobody panics with the lock");
        }
    }
}
