//! Opens a ring with the flags that this kernel has, and tells what is missing where that is not enough.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use crate::runtime::sys;

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
    match build(true) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(false),
        result => result,
    }
    .map_err(|error| OpenError::new("io_uring_setup", error))
}

fn build(no_sqarray: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .dontfork();
    if no_sqarray {
        // Since 6.6.
        builder.setup_no_sqarray();
    }
    builder.build(ENTRIES)
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
    Ok(())
}
