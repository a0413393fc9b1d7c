//! Whether there is room for what is new: so many clients, so many bytes, so many new clients a second from one address.

use crate::limits::Limits;
use crate::rate::{Rate, network_of};
use crate::store::{Growth, Store};
use std::net::IpAddr;

/// Decides about clients that are new, and records that have become longer. All others are updated as ever.
#[derive(Debug)]
pub struct Admission {
    newcomers: Rate<IpAddr>,
    records_max: usize,
    records_bytes: u64,
}

impl Admission {
    /// The rules of a server.
    pub fn new(limits: &Limits) -> Self {
        Self {
            newcomers: Rate::new(limits.new_clients_per_s),
            records_max: limits.records_max,
            records_bytes: limits.records_bytes,
        }
    }

    /// Whether the store has room to grow.
    #[inline]
    pub fn has_room(&self, store: &Store, growth: Growth) -> bool {
        let is_client = growth == Growth::Client;
        store.bytes() < self.records_bytes && !(is_client && store.len() >= self.records_max)
    }

    /// Whether the store may grow by what somebody tells from an address, if it is known whence; a client counts if so.
    #[inline]
    pub fn admits(&mut self, from: Option<IpAddr>, store: &Store, growth: Growth, now_ms: u64) -> bool {
        self.has_room(store, growth)
            && (growth == Growth::Line
                || from.is_none_or(|from| self.newcomers.allows(network_of(from), now_ms)))
    }
}
