//! Descriptors: how many files and connections this process may have open at once, and for whom the last are kept.
//!
//! A connection that comes in may be refused. A log that is begun may not: to a server that cannot open a file its disk
//! has failed. So those who come in leave some descriptors to everything that the server opens itself; and clients leave
//! some to neighbours, and to whoever asks how the server is meanwhile.

use crate::net::Socket;
pub use imp::raise_limit;
use std::any::Any;
use std::io;
use tokio::net::TcpStream;

/// So many descriptors are kept from clients: for files, and for connections with neighbours and providers of places.
const RESERVED: u64 = 64;

/// How many a server has beside its clients' and workers', at most, unless it has hundreds of neighbours: those that are
/// kept, and what it has opened before anybody comes in.
pub const BESIDE_CLIENTS: u64 = RESERVED + 36;

/// How many each of several workers has, beside those of its clients.
pub const OF_WORKER: u64 = 4;

/// Who comes in at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// Clients.
    Clients,
    /// Servers, and whoever asks one something as a server does. Half of what is kept from clients is kept from them, too:
    /// anybody may come to the door.
    Peers,
}

/// Refuses a connection that came in on one of the last descriptors. The system gives the lowest that is free, so the
/// number tells how many are left at most.
pub(crate) fn leave_some(socket: &Socket, guests: Guests) -> io::Result<()> {
    let Some((number, limit)) = number_and_limit(socket) else { return Ok(()) };
    let kept = kept_from(guests, limit);
    if number >= limit - kept {
        return Err(io::Error::other(format!("too many open files: the last {kept} are kept")));
    }
    Ok(())
}

/// How many callers the door for servers may have, where `max` may be there: fewer once somebody comes in on one of the
/// descriptors that clients leave to it. Those who stand there and prove nothing would have all of them, and a neighbour
/// none.
pub(crate) fn room_at_the_door(socket: &Socket, max: usize) -> usize {
    number_and_limit(socket).map_or(max, |(number, limit)| room_where(number, limit, max))
}

fn room_where(number: u64, limit: u64, max: usize) -> usize {
    let [of_both, of_files] = [Guests::Clients, Guests::Peers].map(|guests| kept_from(guests, limit));
    if number < limit - of_both {
        return max;
    }
    // The other half is for those who have come in.
    let room = usize::try_from((of_both - of_files) / 2).unwrap_or(max);
    max.min(room.max(1))
}

/// The number of a connection's descriptor, and how many there may be.
fn number_and_limit(socket: &Socket) -> Option<(u64, u64)> {
    let stream = (&**socket as &dyn Any).downcast_ref::<TcpStream>()?;
    imp::number(stream).zip(imp::limit())
}

/// How many of so many descriptors are kept from those who come in.
fn kept_from(guests: Guests, limit: u64) -> u64 {
    // Where there are few at all, half of them are enough.
    let kept = RESERVED.min(limit / 2);
    if guests == Guests::Peers { kept / 2 } else { kept }
}

#[cfg(target_os = "linux")]
mod imp {
    use log::debug;
    use rustix::process::{Resource, getrlimit, setrlimit};
    use std::os::fd::AsRawFd;

    /// Has the process open as many as the system lets it; told is how many that are, if they are limited and known.
    pub fn raise_limit() -> Option<u64> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            debug!("the limit of open files stays: {error}");
        }
        self::limit()
    }

    pub fn limit() -> Option<u64> {
        getrlimit(Resource::Nofile).current
    }

    pub fn number(socket: &impl AsRawFd) -> Option<u64> {
        u64::try_from(socket.as_raw_fd()).ok()
    }
}

/// Elsewhere the system does as it does.
#[cfg(not(target_os = "linux"))]
mod imp {
    /// Leaves it to the system how many the process may have open.
    pub fn raise_limit() -> Option<u64> {
        None
    }

    pub fn limit() -> Option<u64> {
        None
    }

    pub fn number<T>(_: &T) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_kept_and_of_a_few_no_more_than_half_and_fewer_from_peers() {
        assert_eq!([1024, 40].map(|limit| kept_from(Guests::Clients, limit)), [64, 20]);
        assert_eq!([1024, 40].map(|limit| kept_from(Guests::Peers, limit)), [32, 10]);
    }

    #[test]
    fn of_what_clients_leave_to_neighbours_callers_who_prove_nothing_have_half() {
        assert_eq!([959, 960, 991].map(|number| room_where(number, 1024, 64)), [64, 16, 16]);
        assert_eq!([room_where(20, 40, 64), room_where(960, 1024, 3), room_where(2, 4, 64)], [5, 3, 1]);
    }
}
