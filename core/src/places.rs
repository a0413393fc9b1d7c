//! What is near a position: who is asked, how, and what their answers become.
//!
//! Every provider's answer ends up in the envelope of Google's legacy Nearby Search, because that is what
//! users of `WHATSAT` parse. Nothing here opens a socket or a file, or knows what time it is: the providers
//! are told of replies, the machines that guard them are told the time.

pub mod breaker;
pub mod budget;
pub mod cache;
pub mod envelope;
pub mod exchange;
pub mod field_mask;
pub mod file;
pub mod flights;
pub mod gate;
pub mod gazetteer;
pub mod google;
pub mod import;
pub mod index;
pub mod key;
pub mod legacy;
pub mod limits;
pub mod overpass;
pub mod provider;
pub mod remote;
pub mod spot;
pub mod status;

pub use self::exchange::{Blame, Failure, Reply, Request};
pub use self::gazetteer::Gazetteer;
pub use self::index::Index;
pub use self::key::Key;
pub use self::limits::Limits;
pub use self::provider::{Chain, Provider};
pub use self::status::Status;

/// What a `WHATSAT` wants to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query {
    /// The latitude of the middle, in degrees.
    pub latitude: f64,
    /// The longitude of the middle, in degrees.
    pub longitude: f64,
    /// How far from the middle a place may be, in metres.
    pub radius_m: f64,
    /// How many places are wanted at most.
    pub bound: usize,
}

/// A [`Query`] as the key of a map: two queries are one question when they agree to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    bits: [u64; 3],
    bound: usize,
}

impl Query {
    /// Returns the key under which equal queries meet.
    pub fn question(&self) -> Question {
        let bits = [self.latitude.to_bits(), self.longitude.to_bits(), self.radius_m.to_bits()];
        Question { bits, bound: self.bound }
    }

    /// Tells whether the numbers are a position and a distance at all.
    pub fn is_sane(&self) -> bool {
        self.latitude.abs() <= 90.0 && self.longitude.abs() <= 180.0 && self.radius_m >= 0.0
    }

    /// Returns the radius as Google takes it, which is over nothing and up to 50 km.
    pub(crate) fn radius_for_google_m(&self) -> f64 {
        self.radius_m.clamp(1.0, 50_000.0)
    }
}
