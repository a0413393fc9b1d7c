//! So many a second and no more.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts what each of some keys does in one second, and what it did is forgotten with the next.
///
/// Seconds are those of the clock, so over two of them there may be twice as many at once: that is what a limit against
/// floods can do with one number per key.
#[derive(Debug)]
pub struct Rate<K> {
    per_second: u64,
    second: u64,
    used: BTreeMap<K, u64>,
}

impl<K: Ord> Rate<K> {
    /// Lets so many a second through, for each key.
    pub fn new(per_second: u64) -> Self {
        Self { per_second, second: 0, used: BTreeMap::new() }
    }

    /// Counts one more, if it is not too many.
    #[must_use]
    pub fn allows(&mut self, key: K, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        if second != self.second {
            self.second = second;
            self.used.clear();
        }
        let used = self.used.entry(key).or_default();
        let is_allowed = *used < self.per_second;
        *used += u64::from(is_allowed);
        is_allowed
    }
}

/// What of an address counts: IPv4 whole, however it is written; of IPv6 the first 64 bits, since whoever has one
/// address of a network has all of them.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_let_through_and_no_more() {
        let mut rate = Rate::new(2);
        let allowed: Vec<bool> = [1000, 1500, 1999, 2000, 2001, 2002].map(|now| rate.allows((), now)).into();
        assert_eq!(allowed, [true, true, false, true, true, false]);
    }

    #[test]
    fn each_key_has_its_own_and_old_ones_take_no_room() {
        let mut rate = Rate::new(1);
        assert!(rate.allows("a", 0) && rate.allows("b", 0));
        assert!(!rate.allows("a", 999) && !rate.allows("b", 999));
        assert!(rate.allows("c", 1000));
        assert_eq!(rate.used.len(), 1);
    }

    #[test]
    fn addresses_of_one_network_count_as_one_where_it_is_one_host() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:3:3:4:5:6"), "2001:db8:1:3::");
    }
}
