//! The plain layout: the rows of a batch are the next ones of the draw. A batch may straddle windows, but not data epochs.

use super::{
    super::{
        contents::Contents,
        meters::Meters,
        window::{Part, gather},
    },
    Fill, Filled,
};
use crate::{Drawn, Result};
use std::sync::Arc;

impl Fill {
    /// The next batch of rows in the draw's order.
    pub(super) fn rows(&mut self, number: u64, wanted: bool) -> Result<Option<Filled>> {
        match self.parts(number, |_| false)? {
            Some(parts) => self.of_parts(&parts, wanted),
            None => Ok(None),
        }
    }

    /// The rows of the next batch; `None` at the run's end. Where `stop` says so of the number of rows that the window
    /// has left, and no row is taken yet, none is.
    pub(super) fn parts(&mut self, number: u64, stop: impl Fn(usize) -> bool) -> Result<Option<Vec<Part>>> {
        let (size, drop_last) = (self.shared.settings.batch_size, self.shared.settings.drop_last);
        let mut parts: Vec<Part> = Vec::new();
        let mut filled = 0;
        loop {
            if let Some(cursor) = &mut self.current {
                if parts.is_empty() && stop(cursor.left()) {
                    return Ok(Some(parts));
                }
                let take = cursor.left().min(size - filled);
                if take > 0 {
                    let range = cursor.offset..cursor.offset + take;
                    parts.push(Part::new(&cursor.window, range));
                    cursor.offset += take;
                    filled += take;
                }
                if filled == size {
                    return Ok(Some(parts));
                }
            }
            if self.ends_epoch() {
                // The data epoch ends, and with it the batch: epochs do not share one.
                if filled > 0 && !drop_last {
                    return Ok(Some(parts));
                }
                parts.clear();
                filled = 0;
            }
            // What was taken is copied out, so that the blocks of its window do not stay beside those of the next.
            let schema = self.shared.schema();
            parts = parts.into_iter().map(|part| part.detached(schema)).collect::<Result<_>>()?;
            if !self.advance(number)? {
                return Ok(None);
            }
        }
    }

    /// The batch of `parts`, gathered here and transformed by the pool.
    pub(super) fn of_parts(&self, parts: &[Part], wanted: bool) -> Result<Option<Filled>> {
        let Some(last) = parts.last() else { return Ok(None) };
        let epoch = last.window.opening.epoch;
        let contents = if wanted {
            let data = Meters::time(&self.shared.meters.gather, || gather(parts, self.shared.schema()))?;
            let drawn: Vec<Drawn> =
                parts.iter().flat_map(|part| &part.window.draw[part.range.clone()]).copied().collect();
            let shared = Arc::clone(&self.shared);
            Some(self.pool.run(move || {
                Meters::time(&shared.meters.transform, || Contents::of_rows(&shared.finish, epoch, data, &drawn))
            }))
        } else {
            None
        };
        Ok(Some(Filled {
            contents,
            begun: parts.iter().map(|part| part.range.len() as u64).sum(),
            epoch,
            opening: Arc::clone(&last.window.opening),
            offset: last.end,
            within: 0,
        }))
    }
}
