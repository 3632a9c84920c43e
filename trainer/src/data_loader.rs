//! burn's data traits: the stream and its parts as `DataLoader`s, and burn's `Batcher` over their rows. Beside
//! `dataset_source` the only file that implements or calls them.

use std::{fmt, marker::PhantomData, sync::Arc};

use arable_loader::{Stream, stream::Evaluation};
use arrow::array::RecordBatch;
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress, batcher::Batcher},
        dataset::DatasetError,
    },
    tensor::Device,
};
use serde::de::DeserializeOwned;

use crate::{
    ArrowBatcher, Curated, CuratedDataLoader, EvaluationDataLoader, curated_loader::Epoch, error::BoxError,
    evaluation_loader::Pass, rows,
};

impl<O: 'static> CuratedDataLoader<O> {
    /// The stream's rows as items `I`, read by field name through serde, in batches made by burn's `batcher` on the
    /// thread that iterates.
    pub fn new<I, B>(stream: Stream, batcher: B) -> Self
    where
        I: DeserializeOwned + 'static,
        B: Batcher<I, O> + 'static,
    {
        Self::from_arrow(stream, Rows { batcher, item: PhantomData })
    }

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<Curated<O>>> {
        Arc::new(self)
    }
}

impl<O: 'static> DataLoader<Curated<O>> for CuratedDataLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<O>> + 'a> {
        Box::new(self.epoch())
    }

    fn num_items(&self) -> usize {
        self.slots()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Curated<O>>> {
        Arc::new(self.on(device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Curated<O>>> {
        Arc::new(self.share(start, end))
    }
}

impl<O: 'static> Iterator for Epoch<'_, O> {
    type Item = Result<Curated<O>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().map_err(DatasetError::new).transpose()
    }
}

impl<O: 'static> DataLoaderIterator<Curated<O>> for Epoch<'_, O> {
    fn progress(&self) -> Progress {
        // `new` rather than a literal: it is what newer versions of burn keep.
        Progress::new(self.done, self.slots(), Some("items".to_owned()))
    }
}

impl<O: 'static> EvaluationDataLoader<O> {
    /// The part's rows as items `I`, read by field name through serde, in batches made by burn's `batcher`.
    pub fn new<I, B>(evaluation: Evaluation, batcher: B) -> Self
    where
        I: DeserializeOwned + 'static,
        B: Batcher<I, O> + 'static,
    {
        Self::from_arrow(evaluation, Rows { batcher, item: PhantomData })
    }

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<O>> {
        Arc::new(self)
    }
}

impl<O: 'static> DataLoader<O> for EvaluationDataLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        Box::new(self.pass())
    }

    fn num_items(&self) -> usize {
        self.expected_rows()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(self.on(device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        Arc::new(self.part(start, end))
    }
}

impl<O: 'static> Iterator for Pass<'_, O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().map_err(DatasetError::new).transpose()
    }
}

impl<O: 'static> DataLoaderIterator<O> for Pass<'_, O> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.rows(), Some("items".to_owned()))
    }
}

/// A burn batcher of rows, as a batcher of columns.
struct Rows<I, B> {
    batcher: B,
    item: PhantomData<fn() -> I>,
}

impl<I, O, B> ArrowBatcher<O> for Rows<I, B>
where
    I: DeserializeOwned,
    B: Batcher<I, O>,
{
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<O, BoxError> {
        Ok(self.batcher.batch(rows::read::<I>(data)?, device))
    }
}

/// Any burn data loader of `B` as one of plain [`Curated<B>`], so that validation may share the model's input type.
pub struct PlainDataLoader<B>(Arc<dyn DataLoader<B>>);

impl<B: 'static> PlainDataLoader<B> {
    /// Wraps what burn's own builder gives.
    #[must_use]
    pub fn new(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self(loader)
    }

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(self)
    }
}

impl<B> fmt::Debug for PlainDataLoader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainDataLoader").field("items", &self.0.num_items()).finish_non_exhaustive()
    }
}

impl<B: 'static> DataLoader<Curated<B>> for PlainDataLoader<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<B>> + 'a> {
        Box::new(PlainIter(self.0.iter()))
    }

    fn num_items(&self) -> usize {
        self.0.num_items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(Self(self.0.to_device(device)))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(Self(self.0.slice(start, end)))
    }
}

struct PlainIter<'a, B>(Box<dyn DataLoaderIterator<B> + 'a>);

impl<B> Iterator for PlainIter<'_, B> {
    type Item = Result<Curated<B>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(Curated::plain))
    }
}

impl<B> DataLoaderIterator<Curated<B>> for PlainIter<'_, B> {
    fn progress(&self) -> Progress {
        self.0.progress()
    }
}
