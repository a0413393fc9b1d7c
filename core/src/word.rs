//! A word: as many bytes as are looked at or made at once.

/// How many bytes that is.
pub const EIGHT: usize = size_of::<u64>();

/// A byte eight times.
pub const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; EIGHT])
}
