//! Whether a client that is new may be remembered: so many in all, so many bytes, so many a second from one address.

use crate::limits::Limits;
use crate::rate::{Rate, network_of};
use crate::store::Store;
use std::net::IpAddr;

/// Decides about clients that are new. Those that are known are updated as ever.
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

    /// Whether the store has room for one more.
    pub fn has_room(&self, store: &Store) -> bool {
        store.len() < self.records_max && store.bytes() < self.records_bytes
    }

    /// Whether a client may be told to the store from an address, if it is known whence; it counts if so.
    pub fn admits(&mut self, from: Option<IpAddr>, store: &Store, now_ms: u64) -> bool {
        self.has_room(store) && from.is_none_or(|from| self.newcomers.allows(network_of(from), now_ms))
    }
}
