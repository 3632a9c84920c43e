//! Ranks: several consumers of one stream, each with every R-th batch.
//!
//! In one process they share one sequencer, so that what one rank's training says reaches the draws of all. What fills up
//! the last round is made here too. It knows nothing of how a batch is made.

use super::{Batch, Receipt, SampleSpan, State, Stream, shared::lock};
use crate::{Error, Place, Position, Result};
use arrow::record_batch::RecordBatch;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

impl Stream {
    /// Deals the batches of this stream to `world` consumers in this process: batch b to rank b mod `world`.
    ///
    /// The batches, by number, are those of the stream itself, and the consumers' reports come together in its values:
    /// policies that act on signals work as with one rank. Batches are handed over strictly in the order of their
    /// numbers, so a rank waits until the ranks before it have taken their batches of the round. Where the stream's
    /// batches do not fill the last round, it is filled up with [padding](Batch::padding): every rank gets equally many.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where the stream is itself one rank of several, `world` is 0, or the feedback lag is less than
    /// prefetch + `world`.
    pub fn ranks(self, world: u32) -> Result<Vec<RankStream>> {
        let recipe = self.recipe();
        if recipe.world != 1 {
            let (rank, world) = (recipe.rank, recipe.world);
            return Err(Error::recipe(format!(
                "the stream is rank {rank} of {world} already: give a stream of one rank to share"
            )));
        }
        if world == 0 {
            return Err(Error::recipe("0 ranks: at least one takes the batches"));
        }
        let (lag, least) =
            (u64::from(recipe.stream.feedback_lag), u64::from(recipe.stream.prefetch) + u64::from(world));
        if lag < least {
            return Err(Error::recipe(format!(
                "in [stream]: `feedback_lag` = {lag} is less than prefetch + ranks = {} + {world} = {least}: a draw would \
                 wait for signals of batches that are not trained yet; set `feedback_lag` to at least {least}",
                recipe.stream.prefetch
            )));
        }
        let ranks = u64::from(world);
        let first = self.batches();
        let dealt = Dealt {
            stream: self,
            next: None,
            number: first,
            spare: None,
            end: None,
            fault: None,
            gone: vec![false; world as usize],
        };
        let deal = Arc::new(Deal { dealt: Mutex::new(dealt), changed: Condvar::new(), world: ranks, first });
        Ok((0..ranks).map(|rank| RankStream { deal: Arc::clone(&deal), rank, done: false }).collect())
    }
}

/// One of several consumers of one [`Stream`], from [`Stream::ranks`]: an iterator over its batches. May be sent to another
/// thread.
///
/// # Errors
///
/// An iterator yields its error once and then ends. A fault of the stream comes to every rank; so does a batch whose rank
/// was dropped, since the batches after it would otherwise be trained without it.
#[derive(Debug)]
pub struct RankStream {
    deal: Arc<Deal>,
    rank: u64,
    done: bool,
}

#[derive(Debug)]
struct Deal {
    dealt: Mutex<Dealt>,
    changed: Condvar,
    world: u64,
    /// The batch that the first round begins with.
    first: u64,
}

#[derive(Debug)]
struct Dealt {
    stream: Stream,
    /// A batch that waits for its rank.
    next: Option<Batch>,
    /// Its number, or that of the batch to be asked for.
    number: u64,
    spare: Option<Spare>,
    /// One past the last batch, once the stream has ended.
    end: Option<u64>,
    fault: Option<String>,
    /// Ranks that were dropped.
    gone: Vec<bool>,
}

impl RankStream {
    /// Which rank this is, from 0.
    #[must_use]
    pub const fn rank(&self) -> u64 {
        self.rank
    }

    /// Looks at the stream that is shared: its accounting, values, timings. Waits while a batch is being taken.
    pub fn with_stream<T>(&self, look: impl FnOnce(&Stream) -> T) -> T {
        look(&lock(&self.deal.dealt).stream)
    }

    /// Where the shared stream stands: after every batch that any rank has taken. Take it where all ranks have taken
    /// equally many, say behind a barrier; any number of ranks goes on from it.
    ///
    /// # Errors
    ///
    /// As [`Stream::state`].
    pub fn state(&self) -> Result<State> {
        lock(&self.deal.dealt).stream.state()
    }

    fn deal(&self) -> Option<Result<Batch>> {
        let (deal, mut dealt) = (&self.deal, lock(&self.deal.dealt));
        loop {
            if let Some(fault) = &dealt.fault {
                let place = Place { dataset: Some(dealt.stream.plan().url.clone()), ..Place::default() };
                return Some(Err(Error::data(place, format!("the stream that the ranks share failed: {fault}"))));
            }
            if let Some(end) = dealt.end {
                let number = padding(deal.first, end, self.rank, deal.world)?;
                return dealt.spare.as_ref().map(|spare| Ok(spare.batch(number)));
            }
            let owner = dealt.number % deal.world;
            if owner != self.rank {
                if dealt.gone[owner as usize] {
                    return Some(Err(Error::recipe(format!(
                        "batch {} is rank {owner}'s, which was dropped: keep all ranks until the last of them is done",
                        dealt.number
                    ))));
                }
                dealt = deal.changed.wait(dealt).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let next = dealt.next.take().map(Ok).or_else(|| dealt.stream.next());
            match next {
                // A batch of which no row was left has no number here.
                Some(Ok(batch)) if batch.number % deal.world != self.rank => {
                    dealt.number = batch.number;
                    dealt.next = Some(batch);
                }
                Some(Ok(batch)) => {
                    dealt.number = batch.number + 1;
                    dealt.spare = Some(Spare::of(&batch));
                    deal.changed.notify_all();
                    return Some(Ok(batch));
                }
                Some(Err(fault)) => {
                    dealt.fault = Some(fault.to_string());
                    deal.changed.notify_all();
                    return Some(Err(fault));
                }
                None => dealt.end = Some(dealt.stream.batches()),
            }
            deal.changed.notify_all();
        }
    }
}

impl Iterator for RankStream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let taken = self.deal();
        self.done =
            taken.as_ref().is_none_or(|taken| taken.as_ref().is_ok_and(|batch| batch.padding) || taken.is_err());
        taken
    }
}

impl Drop for RankStream {
    fn drop(&mut self) {
        if let Some(gone) = lock(&self.deal.dealt).gone.get_mut(self.rank as usize) {
            *gone = true;
        }
        self.deal.changed.notify_all();
    }
}

/// The number that `rank`'s part of the last round would have, where the batches `first..end` leave it none.
pub(super) fn padding(first: u64, end: u64, rank: u64, world: u64) -> Option<u64> {
    let full = first + (end - first).div_ceil(world) * world;
    (end..full).find(|number| number % world == rank)
}

/// Rows to fill up a round with: those of a batch that was handed over.
#[derive(Debug)]
pub(super) struct Spare {
    epoch: u32,
    data: RecordBatch,
    positions: Arc<[Position]>,
    spans: Option<Arc<[SampleSpan]>>,
}

impl Spare {
    pub(super) fn of(batch: &Batch) -> Self {
        let (positions, spans) = (Arc::clone(&batch.positions), batch.spans.clone());
        Self { epoch: batch.epoch, data: batch.data.clone(), positions, spans }
    }

    /// The batch `number`, which is none.
    pub(super) fn batch(&self, number: u64) -> Batch {
        Batch {
            number,
            epoch: self.epoch,
            data: self.data.clone(),
            weights: vec![0.0; self.positions.len()],
            positions: Arc::clone(&self.positions),
            spans: self.spans.clone(),
            padding: true,
            receipt: Receipt::mute(number, Arc::clone(&self.positions)),
        }
    }
}
