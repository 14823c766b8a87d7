//! What a completion says of its operation: the kind, and the connection, listener or token that it belongs to.

use crate::shard::io::{ConnId, ShardId};

/// What an operation is, in the top byte of `user_data`.
pub(super) mod kind {
    pub(in super::super) const ACCEPT: u8 = 1;
    pub(in super::super) const RECEIVE: u8 = 2;
    pub(in super::super) const SEND: u8 = 3;
    pub(in super::super) const TAIL: u8 = 4;
    pub(in super::super) const CANCEL: u8 = 5;
    pub(in super::super) const SHUTDOWN: u8 = 6;
    pub(in super::super) const CLOSE: u8 = 7;
    pub(in super::super) const HAND_OVER: u8 = 8;
    pub(in super::super) const ADOPT: u8 = 9;
    pub(in super::super) const WAKE: u8 = 10;
    pub(in super::super) const WOKEN: u8 = 11;
    pub(in super::super) const BELL: u8 = 12;
    pub(in super::super) const CANCEL_ALL: u8 = 13;
    pub(in super::super) const PROBE: u8 = 14;
}

/// Stands where an operation belongs to no connection.
pub(super) const NOBODY: ConnId = ConnId { slot: 0, generation: 0 };

pub(super) const fn conn_data(kind: u8, conn: ConnId) -> u64 {
    ((kind as u64) << 56) | ((conn.slot as u64) << 32) | conn.generation as u64
}

pub(super) const fn conn_of(data: u64) -> ConnId {
    ConnId { slot: ((data >> 32) & 0xff_ffff) as u32, generation: (data & 0xffff_ffff) as u32 }
}

pub(super) const fn accept_data(listener: usize, place: u16) -> u64 {
    ((kind::ACCEPT as u64) << 56) | ((listener as u64 & 0xff) << 16) | place as u64
}

pub(super) const fn adopt_data(from: ShardId, token: u64) -> u64 {
    ((kind::ADOPT as u64) << 56) | ((from.0 as u64 & 0xfff) << 44) | token
}
