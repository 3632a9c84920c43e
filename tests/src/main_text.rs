//! How much of real pages' main text `html` keeps, and how much of the rest it drops.
//!
//! `webpages/pages.parquet` holds pages with text segments that must and that must not be in the main text (the
//! evaluation data of trafilatura, Barbaresi 2021). White space is compared as one space.

use crate::detection::cleaner;
use arrow::array::{Array, AsArray, ListArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{fs::File, path::Path};

/// Segments kept and dropped, as they should be and not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MainText {
    /// Segments that must be kept.
    pub keep: usize,
    /// Those of them that are.
    pub kept: usize,
    /// Segments that must be dropped.
    pub drop: usize,
    /// Those of them that are.
    pub dropped: usize,
}

impl MainText {
    /// The share of kept segments among all that are in the texts.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.kept as f64 / (self.kept + self.drop - self.dropped) as f64
    }

    /// The share of segments kept of those that must be.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.kept as f64 / self.keep as f64
    }

    /// The share of segments dropped of those that must be.
    #[must_use]
    pub fn dropped_share(&self) -> f64 {
        self.dropped as f64 / self.drop as f64
    }

    /// The harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> f64 {
        2.0 * self.precision() * self.recall() / (self.precision() + self.recall())
    }
}

/// What comes of the pages in the Parquet file `pages`: of the first and each second one after it, which `html` was
/// developed with, and of the others, whose pages were not looked at, though their score was.
#[must_use]
pub fn main_text(pages: &Path) -> [MainText; 2] {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(pages).unwrap()).unwrap().build().unwrap();
    let mut halves = [MainText::default(); 2];
    let mut before = 0;
    for batch in reader {
        let batch = batch.unwrap();
        let cleaner = cleaner("[[clean]]\nop = 'html'\ncolumn = 'html'", &batch);
        let judged = cleaner.judge(&batch, &[]).unwrap();
        count(judged.data(), before, &mut halves);
        before += batch.num_rows();
    }
    halves
}

impl std::ops::Add for MainText {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            keep: self.keep + other.keep,
            kept: self.kept + other.kept,
            drop: self.drop + other.drop,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// Adds up what comes of pages that `before` others stand before.
fn count(data: &RecordBatch, before: usize, halves: &mut [MainText; 2]) {
    let texts = data.column_by_name("html").unwrap().as_binary::<i32>();
    let segments = |name: &str| data.column_by_name(name).unwrap().as_list::<i32>();
    let (keep, drop) = (segments("keep"), segments("drop"));
    for row in 0..data.num_rows() {
        let text = plain(std::str::from_utf8(texts.value(row)).unwrap_or_default());
        let found = |segments: &ListArray| {
            let segments = segments.value(row);
            let segments = segments.as_string::<i32>();
            (segments.len(), segments.iter().flatten().filter(|segment| text.contains(&plain(segment))).count())
        };
        let ((keep, kept), (drop, slipped)) = (found(keep), found(drop));
        let half = &mut halves[(before + row) % 2];
        *half = *half + MainText { keep, kept, drop, dropped: drop - slipped };
    }
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
