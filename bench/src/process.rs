//! Brokers and load tools as child processes, which end with this one.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What a broker may take until it answers; RabbitMQ takes the longest.
const START_MAX: Duration = Duration::from_secs(120);
/// What it may take to go after it was asked to.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Folders and programs of this checkout.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `millrace`.
    pub broker: PathBuf,
    /// `millrace-load`.
    pub load: PathBuf,
}

impl Programs {
    /// Builds both in release mode, unless a folder that has them is given.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn find(folder: Option<PathBuf>) -> Result<Self, String> {
        let folder = match folder {
            Some(folder) => folder,
            None => build()?,
        };
        let programs = Self { broker: folder.join("millrace"), load: folder.join("millrace-load") };
        for program in [&programs.broker, &programs.load] {
            if !program.is_file() {
                return Err(format!("there is no {}", program.display()));
            }
        }
        Ok(programs)
    }
}

/// Builds the programs; says where they are.
fn build() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the root");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(&cargo)
        .current_dir(root)
        .args(["build", "--release", "--locked", "--quiet", "-p", "millrace", "-p", "millrace-load"])
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return Err("millrace and millrace-load cannot be built".to_owned()),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("release"))
}

/// A command that dies with this process, on these cores (as `taskset` writes them) or on all.
#[must_use]
pub fn command(program: &Path, cores: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(cores) = cores {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// A port that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A folder of its own for a run, gone at the end.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("millrace-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes into a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self, String> {
        let file = File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = file.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        // A group of its own, so that what a start script has started can be ended with it.
        let child = command.stdout(out).stderr(err).process_group(0).spawn();
        let child = child.map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it accepts connections on a port of this host.
    ///
    /// # Errors
    /// It ended or took too long; with what it said last.
    pub fn wait_for_port(&mut self, port: u16) -> Result<(), String> {
        let until = Instant::now() + START_MAX;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status} before it listened:\n{}", self.said()));
            }
            if Instant::now() > until {
                return Err(format!("does not listen on port {port} after {START_MAX:?}:\n{}", self.said()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it has said, the last lines of it.
    #[must_use]
    pub fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = self.pid().map(|pid| kill_process(pid, signal));
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.id()).ok().and_then(Pid::from_raw)
    }

    /// Waits until it has ended, not for ever.
    pub fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + most;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
            if self.wait(STOP_MAX).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        // Whatever of its group is left.
        let _ = self.pid().map(|pid| kill_process_group(pid, Signal::KILL));
    }
}
