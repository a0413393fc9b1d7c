//! One record in one cache line: numbers, and how they were written, so that the very bytes come out again.

use super::ids::ID_MAX;
use crate::decimal::{Digits, Nanos, print_difference};
use crate::location::{Coordinate, rounded};
use crate::record::{Record, line_bytes, print_receipt, print_voice, rank};
use std::mem::offset_of;

/// A record as numbers, and its client's ID, if that is not long; or a mark that the record is kept elsewhere because it
/// does not fit, or that there is none.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Cell {
    /// The client's ID, or its number among the long ones. It comes first, as the layout in C's way has it: to compare
    /// it, a processor with AVX-512 loads 32 bytes at once, however few are wanted. Further behind, some of them would
    /// be in the next line, which nobody fetched, and with a million clients an update took half as long again.
    client: [u8; CLIENT_MAX],
    /// The bucket of the client, which to find out takes longer than to read it here.
    bucket: u16,
    numbers: Numbers,
}

const _: () = assert!(size_of::<Cell>() == 64 && offset_of!(Cell, client) == 0);

/// What changes from one record of a client to the next, in words as they come out of a processor: where it reads as a whole
/// what it has just written in pieces, it waits. Packed, because what is before it in a cell is not whole words.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, packed(4))]
pub struct Numbers {
    /// The number of the server's name.
    server: u16,
    /// How the time was written: ten times the digits before its point, and those behind it.
    time_form: u8,
    /// The length of the client's ID, or [`ELSEWHERE`], or [`FREE`].
    client_length: u8,
    received: Nanos,
    /// All digits of the client's time as one number, as [`Digits`] has them; of a free cell, the next free slot plus 1, or 0.
    time: u64,
    latitude: Degrees,
    longitude: Degrees,
}

/// A coordinate as a word: all its digits as one number, nearly always with room for those that an `f64` prints, and in the
/// highest byte how it was written. That is one bit for the sign, and seven for how many digits there are before the point and
/// behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Degrees(u64);

/// How many bits of a coordinate are for its digits.
const VALUE_BITS: u32 = 56;

/// One more than the most digits behind the point of a coordinate.
const DECIMALS: u8 = 20;

impl Degrees {
    /// `None` if it does not fit.
    #[inline]
    fn new(Coordinate { is_negative, digits }: Coordinate) -> Option<Self> {
        let Digits { value, whole, decimals } = digits;
        let fits = (1..=5).contains(&whole) && decimals < DECIMALS && value < 1 << VALUE_BITS;
        // Only then: what does not fit would not fit a byte either.
        let form = fits.then(|| u8::from(is_negative) << 7 | (whole * DECIMALS + decimals))?;
        Some(Self(u64::from(form) << VALUE_BITS | value))
    }

    #[inline]
    fn form(self) -> u8 {
        let [.., form] = self.0.to_le_bytes();
        form
    }

    #[inline]
    fn digits(self) -> Digits {
        let digits = self.form() & 0x7f;
        let value = self.0 & ((1 << VALUE_BITS) - 1);
        Digits { value, whole: digits / DECIMALS, decimals: digits % DECIMALS }
    }

    fn print(self, out: &mut Vec<u8>) {
        out.push(if self.form() >> 7 == 1 { b'-' } else { b'+' });
        self.digits().print(out);
    }

    /// The `f64` that is nearest to what was written, of which read again from its digits is the surest way.
    fn rounded(self) -> f64 {
        let mut text = Vec::new();
        self.print(&mut text);
        rounded(&text)
    }
}

/// The longest client ID that a cell has room for. A longer one is among the long ones, up to [`ID_MAX`].
pub const CLIENT_MAX: usize = 26;

/// The length of the client ID of a record that is kept elsewhere. No ID has this length.
const ELSEWHERE: u8 = u8::MAX;

/// The length of the client ID where there is no record. No ID has this length.
const FREE: u8 = u8::MAX - 1;

impl Numbers {
    const NOTHING: Self = Self {
        server: 0,
        time_form: 0,
        client_length: FREE,
        received: 0,
        time: 0,
        latitude: Degrees(0),
        longitude: Degrees(0),
    };

    /// Those of a record whose server's name has this number; `None` if it does not fit.
    #[inline]
    pub fn new(record: &Record<'_>, server: u16) -> Option<Self> {
        let [latitude, longitude] = record.said.location.coordinates();
        let time = record.said.time.digits();
        time.nanos()?; // Its digits are at most nineteen then, nine of them decimals: the form fits a byte.
        Some(Self {
            server,
            time_form: time.whole * 10 + time.decimals,
            client_length: u8::try_from(record.said.client.len())
                .ok()
                .filter(|&length| usize::from(length) <= ID_MAX)?,
            received: record.received,
            time: time.value,
            latitude: Degrees::new(latitude)?,
            longitude: Degrees::new(longitude)?,
        })
    }

    /// The mark of a record that is kept elsewhere.
    pub fn elsewhere(received: Nanos) -> Self {
        Self { received, client_length: ELSEWHERE, ..Self::NOTHING }
    }

    /// True if the record is kept elsewhere: nothing else is to be asked then but when it was received.
    #[inline]
    pub fn are_elsewhere(&self) -> bool {
        self.client_length == ELSEWHERE
    }

    /// When the server heard it; that is here even if the record is kept elsewhere.
    #[inline]
    pub fn received(&self) -> Nanos {
        self.received
    }

    /// The number of the server's name.
    #[inline]
    pub fn server(&self) -> u16 {
        self.server
    }

    /// How long the record line is, with its end, if this is the name of its server.
    #[inline]
    pub fn line_bytes(&self, server: &[u8]) -> u64 {
        // Two signs and two spaces are among what the client said.
        let numbers = [self.latitude.digits(), self.longitude.digits(), self.time()].map(Digits::length);
        let said = usize::from(self.client_length) + numbers.iter().sum::<usize>() + 4;
        line_bytes(said, self.received(), server)
    }

    /// What decides first which of two records is the newer.
    #[inline]
    pub fn rank(&self) -> Option<(Nanos, Nanos)> {
        Some(rank(self.time().nanos()?, self.received()))
    }

    #[inline]
    fn time(&self) -> Digits {
        Digits { value: self.time, whole: self.time_form / 10, decimals: self.time_form % 10 }
    }
}

impl Cell {
    /// A record of a client that is in a bucket: its ID, or the bytes of that one's number among the long ones. What is too
    /// long is not of any use here.
    pub fn new(numbers: Numbers, bucket: u16, client: &[u8]) -> Self {
        let mut cell = Self { numbers, bucket, client: [0; CLIENT_MAX] };
        if let Some(room) = cell.client.get_mut(..client.len()) {
            room.copy_from_slice(client);
        }
        cell
    }

    /// The mark that there is no record, with a link to the next such cell.
    pub fn free(next: Option<u32>) -> Self {
        let numbers = Numbers { time: next.map_or(0, |slot| u64::from(slot) + 1), ..Numbers::NOTHING };
        Self { numbers, bucket: 0, client: [0; CLIENT_MAX] }
    }

    /// Takes another record of the same client.
    #[inline]
    pub fn replace(&mut self, numbers: Numbers) {
        self.numbers = numbers;
    }

    /// What changes from one record to the next.
    #[inline]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The bucket of the client.
    #[inline]
    pub fn bucket(&self) -> u16 {
        self.bucket
    }

    /// True if the record is kept elsewhere: nothing else is to be asked of this cell then but the bucket.
    #[inline]
    pub fn is_elsewhere(&self) -> bool {
        self.numbers.are_elsewhere()
    }

    /// True if there is no record: nothing else is to be asked of this cell then but [`Cell::next_free`].
    #[inline]
    pub fn is_free(&self) -> bool {
        self.numbers.client_length == FREE
    }

    /// The slot of the next free cell.
    pub fn next_free(&self) -> Option<u32> {
        self.numbers.time.checked_sub(1).and_then(|slot| u32::try_from(slot).ok())
    }

    /// The client's ID, if it is here.
    #[inline]
    pub fn client(&self) -> Option<&[u8]> {
        self.client.get(..usize::from(self.numbers.client_length))
    }

    /// The number of the client's ID among the long ones, and how long it is, if it is there.
    #[inline]
    pub fn long_client(&self) -> (u32, usize) {
        let [a, b, c, d, ..] = self.client;
        (u32::from_le_bytes([a, b, c, d]), self.numbers.client_length.into())
    }

    /// Appends the record line, with a line feed.
    pub fn print(&self, client: &[u8], server: &[u8], out: &mut Vec<u8>) {
        self.print_operands(client, out);
        print_receipt(self.numbers.received(), server, out);
    }

    /// Appends the answer to a client, with a line feed.
    pub fn print_at(&self, client: &[u8], server: &[u8], out: &mut Vec<u8>) {
        print_voice(server, out);
        print_difference(self.numbers.received(), self.numbers.time().nanos().unwrap_or_default(), out);
        out.push(b' ');
        self.print_operands(client, out);
        out.push(b'\n');
    }

    /// Latitude and longitude in degrees, rounded to the nearest `f64`.
    pub fn degrees(&self) -> (f64, f64) {
        (self.numbers.latitude.rounded(), self.numbers.longitude.rounded())
    }

    fn print_operands(&self, client: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(client);
        out.push(b' ');
        self.numbers.latitude.print(out);
        self.numbers.longitude.print(out);
        out.push(b' ');
        self.numbers.time().print(out);
    }
}
