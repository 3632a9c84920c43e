//! `image_duplicate`: an image that looks like an earlier one.
//!
//! Images are compared by the 64 bits of their perceptual hash, `imagehash.phash` with its defaults; two match if at most
//! `distance` bits differ. Equal hashes alone, the default, are what cleanvision calls near duplicates.

use super::{
    Rows, Rule,
    index::{HammingIndex, MetRows},
    matcher::{Index, Keys, Match, Matcher},
    memory::take,
    pixels::{Measured, check_column},
    spec::{Built, Column, Settings},
};
use crate::{Position, Result};
use serde::Deserialize;

pub(super) const NAME: &str = "image_duplicate";

/// Beyond it, unlike images match by chance, and the pieces of the index are too short to tell hashes apart.
const MOST_DISTANCE: u32 = 15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    distance: u32,
}

struct ImageDuplicate {
    column: Column,
    distance: u32,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { distance } = settings.read()?;
    if distance > MOST_DISTANCE {
        return Err(format!("`distance` = {distance}: must be at most {MOST_DISTANCE} of 64 bits"));
    }
    let mut columns = settings.columns()?;
    columns.iter().try_for_each(check_column)?;
    match columns.pop() {
        Some(column) if columns.is_empty() => Ok(Built::Matching(Box::new(ImageDuplicate { column, distance }))),
        _ => Err("it judges one column: name one, and add a `[[clean]]` table for each other".to_owned()),
    }
}

impl Matcher for ImageDuplicate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        format!("column = {:?}, distance = {}", self.column.name, self.distance)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain(format!("{NAME}:{}", self.column.name))]
    }

    fn keys(&self, rows: &Rows<'_>) -> Result<Keys> {
        let measured = rows.shared::<Measured>(self.column.index)?;
        let mut keys = Keys::with_capacity(rows.len(), 1);
        for row in 0..rows.len() {
            if let Some(measures) = measured.get(row).filter(|_| rows.reaches(row)) {
                keys.push(measures.hash);
            }
            keys.end_row();
        }
        Ok(keys)
    }

    fn index(&self) -> Box<dyn Index> {
        Box::new(Looks { distance: self.distance, hashes: HammingIndex::new(self.distance), met: MetRows::default() })
    }

    fn restore(&self, bytes: &[u8]) -> Option<Box<dyn Index>> {
        Some(Box::new(Looks::from_bytes(self.distance, bytes)?))
    }

    fn index_bytes(&self, rows: u64) -> u64 {
        rows.saturating_mul(HammingIndex::bytes_a_hash(self.distance) as u64)
    }
}

/// The perceptual hashes of the images met.
#[derive(Debug)]
struct Looks {
    distance: u32,
    hashes: HammingIndex,
    met: MetRows,
}

impl Looks {
    /// What [`Index::to_bytes`] wrote: the rows met, the number of hashes (u64), and the hashes (u64) with the number of
    /// their first row (u32), by that number, little-endian.
    fn from_bytes(distance: u32, mut bytes: &[u8]) -> Option<Self> {
        const ENTRY: usize = 8 + 4;
        let bytes = &mut bytes;
        let met = MetRows::read(bytes)?;
        let count = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
        if count.checked_mul(ENTRY)? != bytes.len() {
            return None;
        }
        let (mut hashes, mut last) = (HammingIndex::new(distance), None);
        for _ in 0..count {
            let (hash, row) = (u64::from_le_bytes(take(bytes)?), u32::from_le_bytes(take(bytes)?));
            if last.is_some_and(|last| last >= row) {
                return None;
            }
            last = Some(row);
            hashes.insert(hash, row);
        }
        (hashes.len() == count).then_some(Self { distance, hashes, met })
    }
}

impl Index for Looks {
    fn meet(&mut self, visit: u32, at: Position, keys: &[u64]) -> Option<Match> {
        let &hash = keys.first()?;
        let row = self.met.meet(visit, at);
        let nearest = self.hashes.nearest(hash);
        self.hashes.insert(hash, row);
        let (apart, twin) = nearest?;
        let (measured, threshold) = (Some(f64::from(apart)), Some(f64::from(self.distance)));
        Some(Match { measured, threshold, twin: self.met.position(twin), ..Match::default() })
    }

    fn to_bytes(&self, visits: u32) -> Vec<u8> {
        let (met, next) = self.met.before(visits);
        let mut bytes = Vec::new();
        met.write(&mut bytes);
        let mut hashes: Vec<(u32, u64)> =
            self.hashes.iter().filter(|&(_, row)| row < next).map(|(hash, row)| (row, hash)).collect();
        hashes.sort_unstable();
        bytes.extend_from_slice(&(hashes.len() as u64).to_le_bytes());
        for (row, hash) in hashes {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&row.to_le_bytes());
        }
        bytes
    }

    fn bytes_in_memory(&self) -> usize {
        self.hashes.bytes_in_memory() + self.met.bytes_in_memory()
    }
}
