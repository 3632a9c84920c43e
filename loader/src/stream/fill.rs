//! Batches are filled here: which drawn rows go to the next one, by the stream's layout.
//!
//! Where filling stands is a [`Cursor`], three numbers. It knows nothing of ranks, of batch numbers beyond the next one,
//! or of what is done with a batch.

mod groups;
mod rows;
mod slots;

use super::{
    contents::{Contents, Layout},
    meters::Meters,
    pool::{Later, Pool},
    record::Entry,
    shared::{Shared, Start},
    transform::Outcome,
    window::{OpenWindow, Opening, Part, gather},
    windows::Windows,
};
use crate::{Position, Result};
use std::{ops::Range, sync::Arc};

/// Where filling stands.
#[derive(Clone, Debug)]
struct Cursor {
    window: Arc<OpenWindow>,
    /// The next row of the window's draw, or the first one of the group that is being emitted.
    offset: usize,
    /// What has been emitted of that row (items) or of that group (batches).
    within: u64,
}

impl Cursor {
    fn left(&self) -> usize {
        self.window.draw.len() - self.offset
    }
}

/// The rows of one batch.
#[derive(Debug)]
pub(super) struct Filled {
    /// Made, or on their way; `None` where they are not wanted here.
    pub(super) contents: Option<Later<Contents>>,
    /// How many rows of the draws begin in it, those included that turn out bad.
    pub(super) begun: u64,
    pub(super) epoch: u32,
    /// Where filling stands after it.
    pub(super) opening: Arc<Opening>,
    pub(super) offset: usize,
    pub(super) within: u64,
}

/// Fills batches from windows.
#[derive(Debug)]
pub(super) struct Fill {
    shared: Arc<Shared>,
    windows: Windows,
    pool: Pool,
    current: Option<Cursor>,
    stretches: rows::Stretches,
    /// Rows of the current window that went through the transforms before their batch is known.
    chunks: slots::Chunks,
    group: Option<groups::Group>,
}

impl Fill {
    pub(super) fn new(shared: Arc<Shared>, start: Start, threads: usize) -> Result<Self> {
        let (pool, tasks) = Pool::new();
        let windows = Windows::new(Arc::clone(&shared), start, &tasks, threads)?;
        Ok(Self {
            shared,
            windows,
            pool,
            current: None,
            stretches: rows::Stretches::default(),
            chunks: slots::Chunks::default(),
            group: None,
        })
    }

    /// What was decided since this was asked for last.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        self.windows.take_entries()
    }

    /// The rows of batch `number`, which is the next one, made if they are `wanted`; `None` at the run's end.
    pub(super) fn next(&mut self, number: u64, wanted: bool) -> Result<Option<Filled>> {
        self.windows.read_on();
        let shared = Arc::clone(&self.shared);
        let filled = match &shared.finish.layout {
            Layout::Plain => self.rows(number, wanted)?,
            Layout::Bucketed(buckets, column) => self.grouped(buckets, *column, number, wanted)?,
            Layout::Packed(packer) => self.slots(packer, number, wanted)?,
        };
        if filled.is_some() {
            self.windows.filled_batch();
        }
        Ok(filled)
    }

    /// Opens the next window, whose first row goes to batch `number`; `false` at the run's end.
    fn advance(&mut self, number: u64) -> Result<bool> {
        // Its blocks go before the next ones come.
        self.current = None;
        self.stretches = rows::Stretches::default();
        self.chunks = slots::Chunks::default();
        self.group = None;
        let Some((window, offset, within)) = self.windows.advance(number)? else { return Ok(false) };
        self.current = Some(Cursor { window: Arc::new(window), offset, within });
        Ok(true)
    }

    /// Whether the window that rows are taken from is the last one of its data epoch.
    const fn ends_epoch(&self) -> bool {
        self.current.is_some() && self.windows.ends_epoch()
    }

    /// The rows in `range` of the draw of `window`, through the transforms.
    fn transformed(&self, window: &Arc<OpenWindow>, range: Range<usize>) -> Later<Outcome> {
        let part = Part::new(window, range);
        let (shared, epoch) = (Arc::clone(&self.shared), window.opening.epoch);
        self.pool.run(move || {
            let gathering = || gather(std::slice::from_ref(&part), shared.schema());
            let data = Meters::time(&shared.meters.gather, gathering)?;
            let drawn = &part.window.draw[part.range];
            let (positions, weights): (Vec<Position>, Vec<f32>) =
                drawn.iter().map(|drawn| (drawn.position, drawn.weight)).unzip();
            Meters::time(&shared.meters.transform, || shared.finish.chain.run(data, &positions, &weights, epoch))
        })
    }
}
