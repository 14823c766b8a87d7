//! Chooses the engine, binds, and brings up one thread a shard; nothing runs before all are ready.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crossbeam::channel::Receiver as ControlReceiver;
use glommio::{LocalExecutorBuilder, Placement};

use super::control::{Bell, Control};
use super::engine::slots::SLOTS_MAX;
use super::engine::uring::{self, Uring, setup};
use super::engine::{Engine, epoll};
use super::reactor::{Entry, Phase, Reactor, Vitals};
use super::{
    EngineUsed, LISTENERS_MAX, Runtime, SHARDS_MAX, Settings, StartError, background, listener, probe, sys, watchdog,
};
use crate::berths::Berths;
use crate::config::EngineChoice;
use crate::mesh::{Endpoint, mesh};
use crate::shard::io::{ListenerId, ShardId};
use crate::shard::logic::Logic;

/// Memory that an executor registers for its own files.
const EXECUTOR_IO_MEMORY: usize = 256 << 10;
/// Depth of an executor's own rings.
const EXECUTOR_RING_DEPTH: usize = 16;
/// Slots of a descriptor table, however few connections are allowed.
const SLOTS_MIN: u64 = 65_536;
/// Slots of a descriptor table that the kernel allows.
const SLOTS_OF_KERNEL: u64 = 1 << 20;

/// Descriptors at least that connections leave to the rest of the program: stores, sinks, the admin listener; half of
/// them all where there are very few.
const FILES_RESERVED_MIN: u64 = 256;

/// What a shard is told when all are ready.
struct Go {
    rings: Arc<[OwnedFd]>,
    sockets: Vec<(ListenerId, OwnedFd)>,
}

/// What one thread is started with.
struct Seat<L: Logic, M> {
    shard: ShardId,
    shards: u16,
    cpu: usize,
    berths: Arc<Berths>,
    make: M,
    mesh: Endpoint<Entry<L::Frame>>,
    control: ControlReceiver<L::Control>,
    bells: Arc<[Bell]>,
    vitals: Arc<Vitals>,
    ready: Sender<(ShardId, Result<Option<OwnedFd>, StartError>)>,
    go: Receiver<Go>,
}

pub(super) fn start<L, M>(settings: &Settings, logics: Vec<M>) -> Result<Runtime<L::Control>, StartError>
where
    L: Logic + 'static,
    M: FnOnce() -> L + Send + 'static,
{
    check_bounds("shards", logics.len(), 1, usize::from(SHARDS_MAX))?;
    check_bounds("listeners", settings.listeners.len(), 0, LISTENERS_MAX)?;
    let shards = u16::try_from(logics.len()).expect("checked");
    let (engine, fallback) = choose(settings.engine)?;
    let files = sys::raise_file_limit();
    let slots = table_size(files, settings.connections_max, shards);
    settings.berths.limit(match engine {
        EngineUsed::IoUring => slots,
        EngineUsed::Epoll => slots.min(epoll_share(files, shards)),
    });
    let mut bound = Vec::with_capacity(settings.listeners.len());
    for listener in &settings.listeners {
        bound.push(listener::bind(listener, shards)?);
    }
    let addresses =
        settings.listeners.iter().zip(&bound).map(|(listener, bound)| (listener.name.clone(), bound.address)).collect();

    let mut controls = Vec::with_capacity(logics.len());
    let mut receivers = Vec::with_capacity(logics.len());
    for shard in 0..shards {
        let (control, receiver) = Control::new().map_err(|error| shard_error(shard, &error))?;
        controls.push(control);
        receivers.push(receiver);
    }
    let bells: Arc<[Bell]> = controls.iter().map(|control| control.bell().clone()).collect();
    let vitals: Vec<Arc<Vitals>> = logics.iter().map(|_| Arc::default()).collect();
    let cpus = sys::allowed_cpus();
    let (ready, readiness) = mpsc::channel();
    let mut runtime = Runtime { engine, fallback, addresses, controls, vitals, threads: Vec::new(), watchdog: None };
    let mut gates = Vec::with_capacity(logics.len());
    for (((shard, make), mesh), control) in (0..shards).zip(logics).zip(mesh(shards)).zip(receivers) {
        let (gate, go) = mpsc::channel();
        gates.push(gate);
        let seat = Seat::<L, M> {
            shard: ShardId(shard),
            shards,
            cpu: cpus[usize::from(shard) % cpus.len()],
            berths: Arc::clone(&settings.berths),
            make,
            mesh,
            control,
            bells: Arc::clone(&bells),
            vitals: Arc::clone(&runtime.vitals[usize::from(shard)]),
            ready: ready.clone(),
            go,
        };
        let thread = thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || match engine {
                EngineUsed::IoUring => run_uring(seat),
                EngineUsed::Epoll => run_epoll(seat),
            })
            .map_err(|error| shard_error(shard, &error))?;
        runtime.threads.push(thread);
    }
    drop(ready);

    let mut rings: Vec<Option<OwnedFd>> = (0..shards).map(|_| None).collect();
    for _ in 0..shards {
        // A thread that panics closes its end without a word.
        let (shard, ring) = readiness
            .recv()
            .map_err(|_| StartError::Shard { shard: 0, reason: "its thread ended before it was ready".into() })?;
        rings[usize::from(shard.0)] = ring?;
    }
    let rings: Arc<[OwnedFd]> = rings.into_iter().flatten().collect();
    let mut sockets: Vec<Vec<(ListenerId, OwnedFd)>> = (0..shards).map(|_| Vec::new()).collect();
    for (listener, bound) in settings.listeners.iter().zip(bound) {
        listener::listen(listener, &bound)?;
        for (shard, socket) in bound.sockets.into_iter().enumerate() {
            sockets[shard].push((listener.id, socket));
        }
    }
    for (gate, sockets) in gates.into_iter().zip(sockets) {
        let rings = Arc::clone(&rings);
        // A shard that is gone shows when it is joined.
        let _ = gate.send(Go { rings, sockets });
    }
    runtime.watchdog = Some(start_watchdog(&runtime.vitals)?);
    Ok(runtime)
}

fn start_watchdog(vitals: &[Arc<Vitals>]) -> Result<(Sender<()>, thread::JoinHandle<()>), StartError> {
    let (stop, stopped) = mpsc::channel();
    let vitals = vitals.to_vec();
    let thread = thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || watchdog::watch(&vitals, &stopped))
        .map_err(|error| shard_error(0, &error))?;
    Ok((stop, thread))
}

fn check_bounds(what: &'static str, value: usize, min: usize, max: usize) -> Result<(), StartError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(StartError::OutOfBounds { what, value, min, max }) }
}

fn shard_error(shard: u16, error: &impl ToString) -> StartError {
    StartError::Shard { shard, reason: error.to_string() }
}

/// The engine, and why it is not the one that was wanted most.
fn choose(choice: EngineChoice) -> Result<(EngineUsed, Option<String>), StartError> {
    if choice == EngineChoice::Epoll {
        return Ok((EngineUsed::Epoll, None));
    }
    let Err(error) = setup::check() else {
        return Ok((EngineUsed::IoUring, None));
    };
    if !error.is_refusal() {
        return Err(uring_failed(error));
    }
    let errno = probe::errno_name(&error.source);
    if choice == EngineChoice::IoUring {
        return Err(StartError::IoUringRefused { what: error.what, errno });
    }
    let reason = format!("the kernel refuses {} ({errno})", error.what);
    tracing::warn!(
        event = "engine-fallback",
        "{reason}: running on epoll, which costs about half as much again for each message; {}",
        how_to_allow_io_uring().join("; ")
    );
    Ok((EngineUsed::Epoll, Some(reason)))
}

fn uring_failed(error: setup::OpenError) -> StartError {
    StartError::IoUringFailed { what: error.what, source: error.source }
}

/// What an operator does about a host that refuses `io_uring`.
pub(super) fn how_to_allow_io_uring() -> Vec<String> {
    let mut lines = Vec::new();
    if sys::kernel_version() < setup::KERNEL_MIN {
        lines.push(format!(
            "io_uring is used from kernel 6.1 on, this one is {}: set engine to \"auto\" or \"epoll\"",
            sys::kernel_release()
        ));
        return lines;
    }
    if probe::seccomp_mode() == 2 {
        lines.push("this looks like a container with the default seccomp profile (seccomp mode 2)".into());
        lines.push("start it with: docker run --security-opt seccomp=deploy/seccomp.json …".into());
    }
    if let Some(disabled) = probe::io_uring_disabled()
        && disabled != 0
    {
        lines.push(format!("without a container: sysctl -w kernel.io_uring_disabled=0   (now: {disabled})"));
    }
    if lines.is_empty() {
        lines.push("set engine to \"auto\" or \"epoll\"".into());
    }
    lines
}

/// Slots of one shard's descriptor table: the kernel wants it within the limit of open files, and it costs eight bytes
/// a slot, used or not.
fn table_size(files: u64, connections: u64, shards: u16) -> u32 {
    let share = (2 * connections).div_ceil(u64::from(shards)).max(SLOTS_MIN);
    u32::try_from(share.min(files).min(SLOTS_OF_KERNEL)).expect("cut to the kernel's limit")
}

/// Connections of one shard where each takes a descriptor of the process: the rest of the program keeps some.
fn epoll_share(files: u64, shards: u16) -> u32 {
    let reserve = (files / 16).max(FILES_RESERVED_MIN).min(files / 2);
    let share = files.saturating_sub(reserve) / u64::from(shards);
    u32::try_from(share.max(1)).unwrap_or(SLOTS_MAX).min(SLOTS_MAX)
}

fn run_uring<L, M>(seat: Seat<L, M>)
where
    L: Logic + 'static,
    M: FnOnce() -> L + 'static,
{
    let executor = |placement| {
        LocalExecutorBuilder::new(placement).io_memory(EXECUTOR_IO_MEMORY).ring_depth(EXECUTOR_RING_DEPTH).make()
    };
    let executor = executor(Placement::Fixed(seat.cpu)).or_else(|error| {
        // A container may hide the topology by which the executor finds its processor.
        sys::pin(seat.cpu).map_err(|_| error)?;
        executor(Placement::Unbound)
    });
    match executor {
        Ok(executor) => executor.run(drive_uring(seat)),
        Err(error) => {
            let _ = seat.ready.send((seat.shard, Err(shard_error(seat.shard.0, &error))));
        }
    }
}

async fn drive_uring<L, M>(seat: Seat<L, M>)
where
    L: Logic + 'static,
    M: FnOnce() -> L + 'static,
{
    let settings = uring::Settings {
        shard: seat.shard,
        berths: seat.berths,
        shards: seat.shards,
        bell: seat.bells[usize::from(seat.shard.0)].clone(),
        counters: Arc::clone(&seat.vitals.counters),
    };
    let opened = Uring::new(settings).map_err(uring_failed).and_then(|parts| {
        sys::duplicate(parts.0.ring_fd()).map(|ring| (parts, ring)).map_err(|error| shard_error(seat.shard.0, &error))
    });
    let ((mut engine, buffers), ring) = match opened {
        Ok(parts) => parts,
        Err(error) => {
            let _ = seat.ready.send((seat.shard, Err(error)));
            return;
        }
    };
    let _ = seat.ready.send((seat.shard, Ok(Some(ring))));
    let Ok(go) = seat.go.recv() else {
        return;
    };
    engine.meet(Arc::clone(&go.rings));
    accept(&mut engine, seat.shard, go.sockets);
    let mut reactor = Reactor::new(engine, buffers, seat.mesh, (seat.make)(), seat.control, Arc::clone(&seat.vitals));
    while reactor.turn() {
        if background::is_pending() {
            seat.vitals.enter(Phase::Background);
            glommio::executor().yield_task_queue_now().await;
        }
    }
    seat.vitals.enter(Phase::Ended);
    let (mut engine, mut buffers) = reactor.into_engine();
    if !engine.quiesce(&mut buffers) {
        // The kernel may still write into what it was given.
        buffers.leak();
        std::mem::forget(engine);
    }
}

fn run_epoll<L, M>(seat: Seat<L, M>)
where
    L: Logic + 'static,
    M: FnOnce() -> L + 'static,
{
    let settings = epoll::Settings {
        shard: seat.shard,
        berths: seat.berths,
        bells: Arc::clone(&seat.bells),
        bell: seat.bells[usize::from(seat.shard.0)].clone(),
        counters: Arc::clone(&seat.vitals.counters),
    };
    let opened = sys::pin(seat.cpu).and_then(|()| epoll::Epoll::new(settings));
    let (mut engine, buffers) = match opened {
        Ok(parts) => parts,
        Err(error) => {
            let error = shard_error(seat.shard.0, &error);
            let _ = seat.ready.send((seat.shard, Err(error)));
            return;
        }
    };
    let _ = seat.ready.send((seat.shard, Ok(None)));
    let Ok(go) = seat.go.recv() else {
        return;
    };
    accept(&mut engine, seat.shard, go.sockets);
    let mut reactor = Reactor::new(engine, buffers, seat.mesh, (seat.make)(), seat.control, Arc::clone(&seat.vitals));
    while reactor.turn() {}
    seat.vitals.enter(Phase::Ended);
}

fn accept(engine: &mut impl Engine, shard: ShardId, sockets: Vec<(ListenerId, OwnedFd)>) {
    for (listener, socket) in sockets {
        if let Err(error) = engine.listen(listener, socket) {
            tracing::error!(
                event = "listener-unwatched",
                shard = shard.0,
                listener = listener.0,
                "watch a listener: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_its_shards_share_within_the_limit_of_open_files() {
        assert_eq!(table_size(20_000, 1_024_000, 2), 20_000);
        assert_eq!(table_size(4_000_000, 1_024_000, 64), 65_536);
        assert_eq!(table_size(4_000_000, 1_024_000, 1), 1 << 20);
        assert_eq!(table_size(4_000_000, 1_024_000, 16), 128_000);
    }

    #[test]
    fn connections_that_are_descriptors_leave_some_to_the_rest() {
        assert_eq!(epoll_share(20_000, 2), 9_375);
        assert_eq!(epoll_share(1024, 2), 384);
        assert_eq!(epoll_share(100, 4), 12);
        assert_eq!(epoll_share(1, 4), 1);
    }
}
