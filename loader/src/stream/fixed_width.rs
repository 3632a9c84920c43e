//! Columns of a fixed width, gathered into memory that is used again.
//!
//! The rows of several batches are gathered together, into as much memory as an allocator takes from the system and gives
//! back each time; then every page of it is mapped and cleared anew, which cost a training step of 0.07 ms three page
//! faults.

use crate::buffers::Buffers;
use arrow::{
    array::{Array, ArrayRef, AsArray, make_array},
    buffer::Buffer,
    datatypes::DataType,
    error::ArrowError,
};

/// Less is left to the allocator, which keeps it itself.
const LEAST: usize = 64 << 10;
/// As much as any value is aligned to.
const ALIGNED: usize = 16;

/// The values at `places`, each a column and a row there, as `to`; none where that is not of a fixed width, something is
/// null, or there is too little of it.
pub(super) fn gather(
    columns: &[&dyn Array],
    places: &[(usize, usize)],
    to: &DataType,
    buffers: &Buffers,
) -> Option<Result<ArrayRef, ArrowError>> {
    let width = width(to)?;
    let bytes = width.checked_mul(places.len()).filter(|&bytes| bytes >= LEAST)?;
    let sources = columns.iter().map(|column| values(*column, width, to)).collect::<Option<Vec<_>>>()?;
    let mut lent = buffers.take(bytes);
    if lent.bytes.as_ptr().align_offset(ALIGNED) != 0 {
        return None;
    }
    match width {
        4 => narrow::<4>(&sources, places, &mut lent.bytes)?,
        8 => narrow::<8>(&sources, places, &mut lent.bytes)?,
        _ => {
            for &(column, row) in places {
                let row = sources.get(column)?.get(row * width..(row + 1) * width)?;
                lent.bytes.extend_from_slice(row);
            }
        }
    }
    Some(of_bytes(Buffer::from(lent.freeze()), places.len(), to))
}

/// Bytes of a row: of numbers and times, and of lists of a fixed length of these.
fn width(to: &DataType) -> Option<usize> {
    match to {
        DataType::FixedSizeList(item, length) => {
            let width = item.data_type().primitive_width()?.checked_mul(usize::try_from(*length).ok()?)?;
            (width > 0).then_some(width)
        }
        to => to.primitive_width(),
    }
}

/// The bytes of all values of `array`, none of which is null.
fn values(array: &dyn Array, width: usize, to: &DataType) -> Option<Buffer> {
    if array.data_type() != to || array.null_count() > 0 {
        return None;
    }
    let data = match to {
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values().to_data(),
        _ => array.to_data(),
    };
    if data.null_count() > 0 {
        return None;
    }
    let one = data.data_type().primitive_width()?;
    let (start, length) = (data.offset().checked_mul(one)?, array.len().checked_mul(width)?);
    let buffer = data.buffers().first()?;
    (start.checked_add(length)? <= buffer.len()).then(|| buffer.slice_with_length(start, length))
}

/// Copies values of `W` bytes, which the compiler then does in registers.
fn narrow<const W: usize>(sources: &[Buffer], places: &[(usize, usize)], to: &mut Vec<u8>) -> Option<()> {
    let sources: Vec<&[[u8; W]]> = sources.iter().map(|source| source.as_slice().as_chunks().0).collect();
    for &(column, row) in places {
        to.extend_from_slice(sources.get(column)?.get(row)?);
    }
    Some(())
}

fn of_bytes(bytes: Buffer, rows: usize, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let of = |to: &DataType, length: usize, bytes: Buffer| {
        arrow::array::ArrayData::builder(to.clone()).len(length).add_buffer(bytes).build()
    };
    let data = match to {
        DataType::FixedSizeList(item, length) => {
            let values = of(item.data_type(), rows * usize::try_from(*length).unwrap_or(0), bytes)?;
            arrow::array::ArrayData::builder(to.clone()).len(rows).add_child_data(values).build()?
        }
        to => of(to, rows, bytes)?,
    };
    Ok(make_array(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Decimal128Array, FixedSizeListArray, Float32Array, Int16Array, Int64Array, StringArray},
        compute::interleave,
        datatypes::{Float32Type, UInt8Type},
    };
    use std::sync::Arc;

    const ROWS: usize = 70_000;

    fn places(rows: usize) -> Vec<(usize, usize)> {
        (0..ROWS).map(|place| (place % 2, place * 7919 % rows)).collect()
    }

    #[test]
    fn what_is_gathered_into_used_memory_is_what_arrow_interleaves() {
        let buffers = Buffers::new(1 << 30);
        let numbers = |from: i64| Int64Array::from_iter_values(from..from + 1000);
        let pixels = |from: u8| {
            let rows = (0..500_usize)
                .map(|row| Some((0..3).map(|x| Some(from.wrapping_add((row * 3 + x) as u8))).collect::<Vec<_>>()));
            FixedSizeListArray::from_iter_primitive::<UInt8Type, _, _>(rows, 3)
        };
        let floats = |from: f32| {
            let rows = (0..500_usize).map(|row| Some([Some(from + row as f32), Some(-from)]));
            FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 2)
        };
        let pairs: [[ArrayRef; 2]; 6] = [
            [Arc::new(numbers(5)), Arc::new(numbers(-2000))],
            [
                Arc::new(Float32Array::from_iter_values((0..900).map(|x| x as f32))),
                Arc::new(Float32Array::from(vec![f32::NAN; 900])),
            ],
            [Arc::new(Int16Array::from_iter_values(0..900)), Arc::new(Int16Array::from_iter_values(-900..0))],
            [Arc::new(pixels(3)), Arc::new(pixels(90))],
            [Arc::new(floats(1.5)), Arc::new(floats(-7.0))],
            [
                Arc::new(Decimal128Array::from_iter_values(0..900).with_precision_and_scale(9, 2).unwrap()),
                Arc::new(Decimal128Array::from_iter_values(900..1800).with_precision_and_scale(9, 2).unwrap()),
            ],
        ];
        // Twice, so that the second time is into what the first one left; and of columns that are slices.
        for _ in 0..2 {
            for [one, other] in &pairs {
                let (one, other) = (one.slice(100, 300), other.slice(37, 300));
                let columns: [&dyn Array; 2] = [one.as_ref(), other.as_ref()];
                let gathered =
                    gather(&columns, &places(300), one.data_type(), &buffers).expect("of a fixed width").unwrap();
                assert_eq!(&gathered, &interleave(&columns, &places(300)).unwrap(), "{}", one.data_type());
            }
        }
    }

    #[test]
    fn memory_is_used_again_once_no_batch_holds_it() {
        let buffers = Buffers::new(1 << 30);
        let column = Int64Array::from_iter_values(0..1000);
        let at = |gathered: &ArrayRef| gathered.to_data().buffers()[0].as_ptr();
        let gathered = || gather(&[&column, &column], &places(1000), &DataType::Int64, &buffers).unwrap().unwrap();
        let first = gathered();
        let (place, batch) = (at(&first), first.slice(10, 5));
        drop(first);
        assert_ne!(at(&gathered()), place, "a batch still holds it");
        let expected = batch.as_primitive::<arrow::datatypes::Int64Type>().value(0);
        assert_eq!(expected, (10 * 7919 % 1000) as i64);
        drop(batch);
        let again: Vec<_> = (0..2).map(|_| gathered()).collect();
        assert!(again.iter().any(|again| at(again) == place));
    }

    #[test]
    fn what_has_nulls_no_width_or_little_of_it_is_left_to_arrow() {
        let buffers = Buffers::new(1 << 30);
        let nulls = Int64Array::from(vec![Some(1), None]);
        let whole = Int64Array::from(vec![1, 2]);
        let all: Vec<_> = (0..ROWS).map(|_| (0, 0)).collect();
        assert!(gather(&[&nulls], &all, &DataType::Int64, &buffers).is_none());
        assert!(gather(&[&whole], &all[..100], &DataType::Int64, &buffers).is_none());
        assert!(gather(&[&whole], &all, &DataType::Int32, &buffers).is_none());
        assert!(gather(&[&StringArray::from(vec!["a"])], &all, &DataType::Utf8, &buffers).is_none());
        let holed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), None])], 2);
        assert!(gather(&[&holed], &all, holed.data_type(), &buffers).is_none());
    }
}
