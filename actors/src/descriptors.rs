//! Descriptors: how many files and connections this process may have open at once, and for whom the last are kept.
//!
//! A connection that comes in may be refused. A log that is begun may not: to a server that cannot open a file its disk
//! has failed. So those who come in leave some descriptors to everything that the server opens itself.

use std::io;

/// So many descriptors are kept from those who come in: for files, and for connections to neighbours and to providers of
/// places.
const RESERVED: u64 = 64;

/// Has the process open as many as the system lets it; told is how many that are, if they are limited and known.
pub fn raise_limit() -> Option<u64> {
    imp::raise_limit()
}

/// Refuses a connection that came in on one of the last descriptors. The system gives the lowest that is free, so the
/// number tells how many are left at most.
pub(crate) fn leave_some(socket: &tokio::net::TcpStream) -> io::Result<()> {
    if imp::number(socket).zip(imp::limit()).is_some_and(|(number, limit)| is_reserved(number, limit)) {
        return Err(io::Error::other(format!("too many open files: the last {RESERVED} are kept")));
    }
    Ok(())
}

fn is_reserved(number: u64, limit: u64) -> bool {
    // Where there are few at all, half of them are enough.
    number >= limit - RESERVED.min(limit / 2)
}

#[cfg(target_os = "linux")]
mod imp {
    use log::debug;
    use rustix::process::{Resource, getrlimit, setrlimit};
    use std::os::fd::AsRawFd;

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
    fn the_last_descriptors_are_kept_and_of_a_few_no_more_than_half() {
        assert!(!is_reserved(1024 - 65, 1024) && is_reserved(1024 - 64, 1024));
        assert!(!is_reserved(19, 40) && is_reserved(20, 40));
    }
}
