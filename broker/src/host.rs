//! What the program asks of its host before it starts: a data directory of its own, and ports that are free.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::diagnostics::Diagnostic;

/// Held for as long as the broker uses its data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is not there (mode 0700) and takes its lock.
    ///
    /// # Errors
    /// It cannot be written, or another broker uses it.
    pub fn open(path: &Path) -> Result<Self, Box<Diagnostic>> {
        let cannot = |what: &str, error: &io::Error| {
            let error = Diagnostic::error("H0020", format!("cannot {what} data_dir {}: {error}", path.display()));
            Box::new(error.help(format!(
                "make it writable for this user, or choose another: --set data_dir={}",
                std::env::temp_dir().join("millrace").display()
            )))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| cannot("make", &error))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| cannot("write", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&lock_path).unwrap_or_default();
                let who = match holder.trim() {
                    "" => String::new(),
                    pid => format!(", pid {pid}"),
                };
                let message = format!("data_dir {} is in use by another broker{who}", path.display());
                let error = Diagnostic::error("H0021", message);
                return Err(Box::new(error.help("stop it, or give this one its own: --set data_dir=…")));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(|error| cannot("write", &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes away from other users what this process will write.
pub fn close_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// How long the disk takes to keep a page: the least of a few tries.
///
/// # Errors
/// It cannot be written.
pub fn sync_time(directory: &Path) -> io::Result<Duration> {
    let path = directory.join(format!(".probe-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut least = Duration::MAX;
    let measured = (0..3).try_for_each(|_| {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        least = least.min(start.elapsed());
        Ok(())
    });
    std::fs::remove_file(&path)?;
    measured.map(|()| least)
}

/// What keeps the listeners of a config from being opened.
#[must_use]
pub fn ports(config: &Config) -> Vec<Diagnostic> {
    config
        .listeners
        .iter()
        .filter(|(_, listener)| listener.enabled)
        .filter_map(|(name, listener)| {
            let address = SocketAddr::new(listener.address, listener.port);
            TcpListener::bind(address).err().map(|error| refused_port(name, address, &error))
        })
        .collect()
}

/// Why a listener cannot be opened.
#[must_use]
pub fn refused_port(name: &str, address: SocketAddr, error: &io::Error) -> Diagnostic {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let who = holder(port).map(|who| format!(" by {who}")).unwrap_or_default();
            let other = port.checked_mul(10).unwrap_or(18_830);
            Diagnostic::error("H0007", format!("{address} (listeners.{name}) is in use{who}"))
                .help(format!("stop it, or choose another port: --set listeners.{name}.port={other}"))
        }
        io::ErrorKind::PermissionDenied => Diagnostic::error(
            "H0008",
            format!("{address} (listeners.{name}) wants a right that this user does not have"),
        )
        .help("ports below 1024 want CAP_NET_BIND_SERVICE")
        .help(format!("or choose another: --set listeners.{name}.port=1883")),
        _ => Diagnostic::error("H0008", format!("cannot listen on {address} (listeners.{name}): {error}"))
            .help(format!("use an address of this host (`ip addr`), or all: --set listeners.{name}.address=0.0.0.0")),
    }
}

/// Name and pid of the process that listens on a port, as far as this user may see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&std::fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()));
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{}, pid {pid}", name.trim()));
        }
    }
    None
}

/// The socket that listens on a port, in the table as `/proc/net/tcp` prints it.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_data_dir_is_for_one_broker_and_one_user() {
        let path = std::env::temp_dir().join(format!("millrace-host-{}/data", std::process::id()));
        let first = DataDir::open(&path).expect("it can be made");
        let second = DataDir::open(&path).expect_err("it is in use");
        assert_eq!(second.code, "H0021");
        assert!(second.message.contains(&format!("pid {}", std::process::id())), "{}", second.message);
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(first.path()), mode(&path.join("lock"))), (0o700, 0o600));
        drop(first);
        DataDir::open(&path).expect("it is free again");
        assert!(sync_time(&path).is_ok());
        assert_eq!(DataDir::open(Path::new("/proc/x")).expect_err("nobody writes there").code, "H0020");
        std::fs::remove_dir_all(path.parent().expect("it has one")).expect("it can be removed");
    }

    #[test]
    fn who_holds_a_port_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let mut config = Config::default();
        let listener = config.listeners.get_mut("default").expect("it is built in");
        listener.port = held.local_addr().expect("it is bound").port();
        let told = ports(&config);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].code, "H0007");
        assert!(told[0].message.contains(&format!("pid {}", std::process::id())), "{}", told[0].message);
        config.listeners.get_mut("default").expect("it is built in").port = 0;
        assert_eq!(ports(&config), []);
    }

    #[test]
    fn an_address_of_another_host_is_told() {
        let mut config = Config::default();
        let listener = config.listeners.get_mut("default").expect("it is built in");
        listener.address = "192.0.2.1".parse().expect("it is one");
        assert_eq!(ports(&config)[0].code, "H0008");
    }
}
