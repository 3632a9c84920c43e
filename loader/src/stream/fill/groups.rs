//! The bucketed layout: the rows of a few batches are sorted by length before they are cut into batches.

use super::{
    super::{
        buckets::{self, Buckets},
        contents::{Contents, Hole},
        meters::Meters,
        transform::{BadSample, Outcome},
        window::gather_fault,
    },
    Fill, Filled,
};
use crate::{Drawn, Error, Result};
use arrow::{compute::interleave_record_batch, record_batch::RecordBatch};
use std::{collections::HashMap, sync::Arc};

/// The rows of a group of batches, transformed.
#[derive(Debug)]
pub(in crate::stream) struct Group {
    /// The group's first row in the window's draw, and how many there are.
    offset: usize,
    length: usize,
    drawn: Vec<Drawn>,
    data: Vec<RecordBatch>,
    /// Where each row of the group lies in `data`; `None` where it is bad.
    places: Vec<Option<(usize, usize)>>,
    bad: HashMap<usize, BadSample>,
    /// Rows of the group, batch by batch.
    batches: Vec<Vec<usize>>,
}

impl Fill {
    /// The next batch of a group; between groups, what a window has left with the first rows of the next.
    pub(super) fn grouped(
        &mut self,
        buckets: &Buckets,
        column: usize,
        number: u64,
        wanted: bool,
    ) -> Result<Option<Filled>> {
        let size = self.shared.settings.batch_size;
        let Some(parts) = self.parts(number, |left| buckets::group(left, size, buckets.batches) > 0)? else {
            return Ok(None);
        };
        if !parts.is_empty() {
            return self.of_parts(&parts, wanted);
        }
        let Some(cursor) = self.current.clone() else { return Ok(None) };
        let length = buckets::group(cursor.left(), size, buckets.batches);
        let group = match self.group.take().filter(|group| group.offset == cursor.offset) {
            Some(group) => group,
            None => self.open_group(column, length)?,
        };
        let batch =
            usize::try_from(cursor.within).ok().and_then(|within| group.batches.get(within)).ok_or_else(|| {
                Error::State(format!("it stands after {} batches of a group of {}", cursor.within, group.batches.len()))
            })?;
        let epoch = cursor.window.opening.epoch;
        let contents = if wanted {
            let contents = Meters::time(&self.shared.meters.gather, || group.contents(batch))?;
            Some(self.pool.run(move || Ok(contents)))
        } else {
            None
        };
        let begun = batch.len() as u64;
        let ends = cursor.within + 1 == group.batches.len() as u64;
        let (offset, within) =
            if ends { (cursor.offset + group.length, 0) } else { (cursor.offset, cursor.within + 1) };
        let opening = Arc::clone(&cursor.window.opening);
        self.current = Some(super::Cursor { offset, within, ..cursor });
        self.group = (!ends).then_some(group);
        Ok(Some(Filled { contents, begun, epoch, opening, offset, within }))
    }

    /// Transforms the next `length` rows of the window, and cuts them into batches by length.
    fn open_group(&self, column: usize, length: usize) -> Result<Group> {
        let Some(cursor) = &self.current else {
            return Err(Error::State("no window is open".into()));
        };
        let (size, settings) = (self.shared.settings.batch_size, &self.shared.settings);
        let range = cursor.offset..cursor.offset + length;
        let chunks: Vec<_> = range
            .clone()
            .step_by(size)
            .map(|start| self.transformed(&cursor.window, start..(start + size).min(range.end)))
            .collect();
        let (mut data, mut places, mut bad) = (Vec::new(), vec![None; length], HashMap::new());
        let mut lengths = vec![0; length];
        for (chunk, later) in chunks.into_iter().enumerate() {
            let Outcome { data: rows, good, bad: unfit } = self.pool.wait(later)?;
            let first = chunk * size;
            for ((row, at), of_row) in good.into_iter().zip(0..).zip(buckets::lengths(&rows, column)?) {
                places[first + row] = Some((chunk, at));
                lengths[first + row] = of_row;
            }
            bad.extend(unfit.into_iter().map(|sample| (first + sample.index, sample)));
            data.push(rows);
        }
        let (window, epoch) = (cursor.window.opening.window, cursor.window.opening.epoch);
        let place = u64::from(window) << 32 | cursor.offset as u64;
        let batches = buckets::batches(&lengths, size, settings.seed, epoch, place);
        let drawn = cursor.window.draw[range].to_vec();
        Ok(Group { offset: cursor.offset, length, drawn, data, places, bad, batches })
    }
}

impl Group {
    fn contents(&self, rows: &[usize]) -> Result<Contents> {
        let good: Vec<(usize, (usize, usize))> =
            rows.iter().filter_map(|&row| Some((row, self.places[row]?))).collect();
        let data: Vec<&RecordBatch> = self.data.iter().collect();
        let places: Vec<(usize, usize)> = good.iter().map(|(_, place)| *place).collect();
        let data = match data.first() {
            Some(first) if places.is_empty() => first.slice(0, 0),
            _ => interleave_record_batch(&data, &places).map_err(gather_fault)?,
        };
        let holes = rows
            .iter()
            .filter_map(|row| Some(Hole::new(self.drawn[*row].position, self.bad.get(row)?.clone())))
            .collect();
        Ok(Contents {
            data,
            positions: good.iter().map(|&(row, _)| self.drawn[row].position).collect(),
            weights: good.iter().map(|&(row, _)| self.drawn[row].weight).collect(),
            spans: None,
            holes,
        })
    }
}
