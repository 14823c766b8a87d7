//! Opens a ring with the flags that this kernel has, and tells what is missing where that is not enough.

use std::io;

use std::os::fd::AsRawFd;

use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, Probe, opcode};

use crate::runtime::sys;

/// What a hand-over is marked with when it is tried out.
const TRIAL: u64 = 7;

/// The oldest kernel whose ring does what is needed.
pub(crate) const KERNEL_MIN: (u32, u32) = (6, 1);
/// Submission entries: what a turn gathers before it must enter the kernel in between.
const ENTRIES: u32 = 1024;
/// Completion entries: what a turn can bring before the kernel keeps the rest aside.
const COMPLETIONS: u32 = 8192;

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(crate) struct OpenError {
    pub(crate) what: &'static str,
    pub(crate) source: io::Error,
}

impl OpenError {
    pub(crate) const fn new(what: &'static str, source: io::Error) -> Self {
        Self { what, source }
    }

    /// Whether the host refuses rings as such, so that another engine may be taken: a seccomp filter, a sysctl, an old
    /// or emulated kernel. Want of memory or descriptors is not that.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self.source.raw_os_error(),
            Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EINVAL | libc::EOPNOTSUPP)
        )
    }
}

/// A ring with all flags that the kernel knows; everything but the last one is needed.
pub(crate) fn open() -> Result<IoUring, OpenError> {
    open_with(ENTRIES, COMPLETIONS)
}

/// The same, only to try something out.
fn open_small() -> Result<IoUring, OpenError> {
    open_with(4, 8)
}

fn open_with(entries: u32, completions: u32) -> Result<IoUring, OpenError> {
    match build(entries, completions, true) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(entries, completions, false),
        result => result,
    }
    .map_err(|error| OpenError::new("io_uring_setup", error))
}

fn build(entries: u32, completions: u32, no_sqarray: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions)
        .dontfork();
    if no_sqarray {
        // Since 6.6.
        builder.setup_no_sqarray();
    }
    builder.build(entries)
}

/// The table of direct descriptors, and at most one worker thread for the rare operation that needs one.
pub(crate) fn register_table(ring: &IoUring, slots: u32) -> Result<(), OpenError> {
    let submitter = ring.submitter();
    submitter
        .register_files_sparse(slots)
        .map_err(|error| OpenError::new("register the table of direct descriptors", error))?;
    // Only `shutdown` uses a worker. A kernel that refuses the limit has its own.
    let _ = submitter.register_iowq_max_workers(&mut [1, 1]);
    Ok(())
}

/// Tries out all that the engine needs, on a ring that is closed again.
pub(crate) fn check() -> Result<(), OpenError> {
    if sys::kernel_version() < KERNEL_MIN {
        return Err(OpenError::new("io_uring of a kernel older than 6.1", io::Error::from_raw_os_error(libc::ENOSYS)));
    }
    let mut ring = open()?;
    let features = ring.params();
    if !features.is_feature_nodrop() || !features.is_feature_skip_cqe_on_success() {
        return Err(OpenError::new(
            "io_uring features NODROP and CQE_SKIP",
            io::Error::from_raw_os_error(libc::EINVAL),
        ));
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| OpenError::new("io_uring_register(PROBE)", error))?;
    let needed = [
        opcode::Accept::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::Read::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Shutdown::CODE,
        opcode::Close::CODE,
        opcode::MsgRingData::CODE,
    ];
    if !needed.iter().all(|code| probe.is_supported(*code)) {
        return Err(OpenError::new(
            "io_uring operations accept, recv, send, read, cancel, shutdown, close and msg_ring",
            io::Error::from_raw_os_error(libc::EINVAL),
        ));
    }
    register_table(&ring, 8)?;
    // SAFETY: an operation that does nothing points at nothing.
    let queued = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    debug_assert!(queued.is_ok(), "the queue is empty");
    ring.submit_and_wait(1).map_err(|error| OpenError::new("io_uring_enter", error))?;
    let mut buffers = super::BufferRing::new();
    buffers.register(&ring.submitter()).map_err(|error| OpenError::new("register receive buffers", error))?;
    drop(ring);
    check_hand_over()
}

/// Tries whether a ring that gets a socket is told its slot. Kernels 6.1.0 to 6.1.20 say 0 whatever the slot is, and
/// the version alone does not tell which of them have the repair.
fn check_hand_over() -> Result<(), OpenError> {
    let failed = |error| OpenError::new("hand a descriptor to another ring", error);
    let (mut from, mut to) = (open_small()?, open_small()?);
    register_table(&from, 2)?;
    register_table(&to, 4)?;
    let file = sys::eventfd().map_err(failed)?;
    for ring in [&from, &to] {
        // Slot 0 is taken in both.
        ring.submitter().register_files_update(0, &[file.as_raw_fd()]).map_err(failed)?;
    }
    let entry = opcode::MsgRingSendFd::new(Fd(to.as_raw_fd()), Fixed(0), DestinationSlot::auto_target(), TRIAL).build();
    // SAFETY: the entry points at nothing.
    let queued = unsafe { from.submission().push(&entry) };
    debug_assert!(queued.is_ok(), "the queue is empty");
    from.submit_and_wait(1).map_err(failed)?;
    let sent = from.completion().next().map_or(-libc::EIO, |completion| completion.result());
    if sent < 0 {
        return Err(failed(io::Error::from_raw_os_error(-sent)));
    }
    // A ring collects what others put into it when it enters the kernel; it has come by now.
    let patience = io_uring::types::Timespec::new().sec(1);
    let wait = io_uring::types::SubmitArgs::new().timespec(&patience);
    let _ = to.submitter().submit_with_args(1, &wait);
    let told = to.completion().find(|completion| completion.user_data() == TRIAL).map(|completion| completion.result());
    if told == Some(1) {
        Ok(())
    } else {
        Err(OpenError::new(
            "to tell in which slot a socket arrives, as 6.1 does before 6.1.21",
            io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        ))
    }
}
