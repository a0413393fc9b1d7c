//! The front door of `herd`.

fn main() {}
