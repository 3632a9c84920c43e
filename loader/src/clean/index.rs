//! What the operators that look for twins remember: band tables, Bloom filters, hashes under a Hamming distance.

mod bands;
mod bloom;
mod hamming;
mod journal;
mod near;
mod rotation;
mod visits;

pub(super) use hamming::HammingIndex;
pub(super) use near::{BandBloom, BandIndex, bloom_undo, exact_bytes, exact_undo};
pub(super) use rotation::{Generations, RotatingBloom};
pub(super) use visits::MetRows;
