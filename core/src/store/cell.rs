//! One record in one cache line: numbers, and how they were written, so that the very bytes come out again.

use crate::decimal::{Digits, Nanos, print_difference};
use crate::record::{Record, line_bytes, print_receipt, print_voice, rank};

/// A record as numbers, or a mark that it is kept elsewhere because it does not fit, or that there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct Cell {
    received: Nanos,
    /// All digits of the client's time as one number, as [`Digits`] has them.
    time: u64,
    /// All digits of the latitude; of a free cell, the next free slot plus 1, or 0.
    latitude: u32,
    /// All digits of the longitude.
    longitude: u32,
    /// The number of the server's name.
    server: u16,
    /// How the latitude was written: its sign, the digits before its point, and those behind it.
    latitude_form: u8,
    longitude_form: u8,
    time_whole: u8,
    time_decimals: u8,
    /// The length of the client's ID, or [`ELSEWHERE`], or [`FREE`].
    client_length: u8,
    client: [u8; CLIENT_MAX],
}

const _: () = assert!(size_of::<Cell>() == 64);

/// The longest client ID that a cell has room for.
const CLIENT_MAX: usize = 33;

/// The length of the client ID of a record that is kept elsewhere. No ID has this length.
const ELSEWHERE: u8 = u8::MAX;

/// The length of the client ID where there is no record. No ID has this length.
const FREE: u8 = u8::MAX - 1;

impl Cell {
    const NOTHING: Self = Self {
        received: 0,
        time: 0,
        latitude: 0,
        longitude: 0,
        server: 0,
        latitude_form: 0,
        longitude_form: 0,
        time_whole: 0,
        time_decimals: 0,
        client_length: FREE,
        client: [0; CLIENT_MAX],
    };

    /// The mark of a record that is kept elsewhere.
    pub fn elsewhere(received: Nanos) -> Self {
        Self { received, client_length: ELSEWHERE, ..Self::NOTHING }
    }

    /// The mark that there is no record, with a link to the next such cell.
    pub fn free(next: Option<u32>) -> Self {
        Self { latitude: next.map_or(0, |slot| slot + 1), ..Self::NOTHING }
    }

    /// A record that another server's name has a number for; `None` if it does not fit.
    #[inline]
    pub fn new(record: &Record<'_>, server: u16) -> Option<Self> {
        let mut client = [0; CLIENT_MAX];
        client.get_mut(..record.said.client.len())?.copy_from_slice(record.said.client);
        let [latitude, longitude] = record.said.location.digits();
        let time = record.said.time.digits();
        time.nanos()?;
        Some(Self {
            received: record.received,
            time: time.value,
            latitude: u32::try_from(latitude.1.value).ok()?,
            longitude: u32::try_from(longitude.1.value).ok()?,
            server,
            latitude_form: form(latitude)?,
            longitude_form: form(longitude)?,
            time_whole: u8::try_from(time.whole).ok()?,
            time_decimals: u8::try_from(time.decimals).ok()?,
            client_length: u8::try_from(record.said.client.len()).ok()?,
            client,
        })
    }

    /// True if the record is kept elsewhere: nothing else is to be asked of this cell then.
    pub fn is_elsewhere(&self) -> bool {
        self.client_length == ELSEWHERE
    }

    /// True if there is no record: nothing else is to be asked of this cell then but [`Cell::next_free`].
    pub fn is_free(&self) -> bool {
        self.client_length == FREE
    }

    /// The slot of the next free cell.
    pub fn next_free(&self) -> Option<u32> {
        self.latitude.checked_sub(1)
    }

    /// When the server heard it; that is here even if the record is kept elsewhere.
    pub fn received(&self) -> Nanos {
        self.received
    }

    /// The client's ID.
    pub fn client(&self) -> &[u8] {
        self.client.get(..usize::from(self.client_length)).unwrap_or_default()
    }

    /// The number of the server's name.
    pub fn server(&self) -> u16 {
        self.server
    }

    /// What decides first which of two records is the newer.
    pub fn rank(&self) -> Option<(Nanos, Nanos)> {
        Some(rank(self.time().nanos()?, self.received))
    }

    /// Appends the record line, with a line feed.
    pub fn print(&self, server: &[u8], out: &mut Vec<u8>) {
        self.print_operands(out);
        print_receipt(self.received, server, out);
    }

    /// How long the record line is, with its end.
    pub fn line_bytes(&self, server: &[u8]) -> u64 {
        let location = digits(self.latitude, self.latitude_form).length()
            + digits(self.longitude, self.longitude_form).length()
            + SIGNS;
        let said = self.client().len() + location + self.time().length() + 2;
        line_bytes(said, self.received, server)
    }

    /// Appends the answer to a client, with a line feed.
    pub fn print_at(&self, server: &[u8], out: &mut Vec<u8>) {
        print_voice(server, out);
        print_difference(self.received, self.time().nanos().unwrap_or_default(), out);
        out.push(b' ');
        self.print_operands(out);
        out.push(b'\n');
    }

    /// Latitude and longitude in degrees, rounded to the nearest `f64`.
    pub fn degrees(&self) -> (f64, f64) {
        (degrees(self.latitude, self.latitude_form), degrees(self.longitude, self.longitude_form))
    }

    fn print_operands(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.client());
        out.push(b' ');
        print_coordinate(self.latitude, self.latitude_form, out);
        print_coordinate(self.longitude, self.longitude_form, out);
        out.push(b' ');
        self.time().print(out);
    }

    fn time(&self) -> Digits {
        Digits { value: self.time, whole: self.time_whole.into(), decimals: self.time_decimals.into() }
    }
}

/// A location has two signs.
const SIGNS: usize = 2;

/// How a coordinate was written, in a byte: sign, three bits, four bits.
fn form((is_negative, digits): (bool, Digits)) -> Option<u8> {
    let fits = (1..8).contains(&digits.whole) && digits.decimals < 16;
    let lengths = u8::try_from(digits.whole << 4 | digits.decimals).ok()?;
    fits.then_some(u8::from(is_negative) << 7 | lengths)
}

fn digits(value: u32, form: u8) -> Digits {
    Digits { value: value.into(), whole: u32::from(form >> 4 & 7), decimals: u32::from(form & 15) }
}

fn is_negative(form: u8) -> bool {
    form >> 7 == 1
}

fn print_coordinate(value: u32, form: u8, out: &mut Vec<u8>) {
    out.push(if is_negative(form) { b'-' } else { b'+' });
    digits(value, form).print(out);
}

/// Both numbers are exact in an `f64`, so their quotient is the nearest one to what was written.
fn degrees(value: u32, form: u8) -> f64 {
    let size = f64::from(value) / 10_f64.powi(i32::from(form & 15));
    if is_negative(form) { -size } else { size }
}
