//! Arrow columns as tensors.
//!
//! A column of numbers becomes `[rows]`; each level of lists around them adds a dimension, so a column of pixels as
//! `FixedSizeList` or `List` becomes `[rows, width]`. Lists of one level must all have the same length, and there must
//! be no nulls: what to do about either is for cleaning to decide, before a batch is made.

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Float32Type, Int64Type},
};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Error, Result};

/// A column of floats or integers as a float tensor, in the device's float type; values go through `f32`.
///
/// # Errors
///
/// [`Error::Column`], if there is no such column, it has not `D` − 1 levels of lists, it is no column of numbers, it has
/// a null, or its lists differ in length.
pub fn floats<const D: usize>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D>> {
    let (values, shape) = numbers::<D>(data, column, &DataType::Float32)?;
    let values = values.as_primitive::<Float32Type>().values().to_vec();
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// A column of integers, such as labels or token ids, as an integer tensor, in the device's integer type.
///
/// # Errors
///
/// [`Error::Column`], as for [`floats`]; also if the column holds floats, or an integer above `i64`'s range.
pub fn ints<const D: usize>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D, Int>> {
    let (values, shape) = numbers::<D>(data, column, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>().values().to_vec();
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// The numbers of a column, flat and as `wanted`, with the shape that its lists give them.
fn numbers<const D: usize>(data: &RecordBatch, column: &str, wanted: &DataType) -> Result<(ArrayRef, [usize; D])> {
    let err = |what: String| Error::Column { column: column.to_owned(), what };
    let Some(array) = data.column_by_name(column) else {
        let names: Vec<_> = data.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        return Err(err(format!("there is none; the stream carries {}", names.join(", "))));
    };

    let mut values = ArrayRef::clone(array);
    let mut shape = [0; D];
    for (level, length) in shape.iter_mut().enumerate() {
        if values.null_count() > 0 {
            let row = (0..values.len()).find(|&row| values.is_null(row)).unwrap_or_default();
            let place = if level == 0 { "row" } else { "value" };
            return Err(err(format!("{place} {row} of the batch is null; fill or drop nulls while cleaning")));
        }
        if level == 0 {
            *length = values.len();
        } else {
            (*length, values) = items(&values).map_err(err)?;
            if values.null_count() > 0 && level + 1 == D {
                return Err(err("a list holds a null; fill or drop nulls while cleaning".to_owned()));
            }
        }
    }

    let found = values.data_type();
    if !(found.is_integer() || found.is_floating() && *wanted == DataType::Float32) {
        let kind = if *wanted == DataType::Float32 { "numbers" } else { "integers" };
        let type_ = array.data_type();
        return Err(err(format!("a tensor of {D} dimensions of {kind} cannot be made of {type_}")));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let values = cast_with_options(&values, wanted, &options).map_err(|error| err(error.to_string()))?;
    Ok((values, shape))
}

/// The common length of the lists in `array`, and their items, flat.
fn items(array: &ArrayRef) -> Result<(usize, ArrayRef), String> {
    match array.data_type() {
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            let length = usize::try_from(lists.value_length()).map_err(|error| error.to_string())?;
            Ok((length, ArrayRef::clone(lists.values())))
        }
        DataType::List(_) => equal_lists::<i32>(array),
        DataType::LargeList(_) => equal_lists::<i64>(array),
        other => Err(format!("lists were expected, to give the tensor another dimension; found {other}")),
    }
}

fn equal_lists<O: OffsetSizeTrait>(array: &ArrayRef) -> Result<(usize, ArrayRef), String> {
    let lists = array.as_list::<O>();
    let offsets = lists.value_offsets();
    let first = offsets.first().map_or(0, |offset| offset.as_usize());
    let last = offsets.last().map_or(0, |offset| offset.as_usize());
    let mut lengths = offsets.array_windows().map(|[start, end]| end.as_usize() - start.as_usize());
    let length = lengths.next().unwrap_or_default();
    if let Some((row, other)) = lengths.enumerate().find(|&(_, other)| other != length) {
        let row = row + 1;
        return Err(format!(
            "list 0 of the batch has {length} items and list {row} has {other}; pad or cut them first"
        ));
    }
    Ok((length, lists.values().slice(first, last - first)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{FixedSizeListArray, Float64Array, Int8Array, ListArray, StringArray, UInt64Array},
        datatypes::{Int32Type, UInt8Type},
    };

    use super::*;

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap()
    }

    fn message(result: Result<impl Sized>) -> String {
        result.err().expect("an error").to_string()
    }

    #[test]
    fn numbers_of_any_width_become_floats() {
        let device = Device::default();
        let data = batch(Arc::new(Float64Array::from(vec![0.5, -2.0])));
        assert_eq!(floats::<1>(&data, "x", &device).unwrap().try_into_vec_as::<f32>().unwrap(), [0.5, -2.0]);
        let data = batch(Arc::new(Int8Array::from(vec![3, -4])));
        assert_eq!(floats::<1>(&data, "x", &device).unwrap().try_into_vec_as::<f32>().unwrap(), [3.0, -4.0]);
    }

    #[test]
    fn lists_become_a_dimension_also_in_a_slice() {
        let device = Device::default();
        let rows = [[1, 2, 3], [4, 5, 6], [7, 8, 9]];
        let some = || rows.map(|row| Some(row.map(Some)));
        let fixed: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(some(), 3));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(some()));
        for column in [fixed, list] {
            let data = batch(column).slice(1, 2);
            let tensor = floats::<2>(&data, "x", &device).unwrap();
            assert_eq!(tensor.dims(), [2, 3]);
            assert_eq!(tensor.try_into_vec_as::<f32>().unwrap(), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
            let tokens = ints::<2>(&data, "x", &device).unwrap();
            assert_eq!(tokens.try_into_vec_as::<i64>().unwrap(), [4, 5, 6, 7, 8, 9]);
        }
    }

    #[test]
    fn labels_become_ints() {
        let data = batch(Arc::new(UInt64Array::from(vec![9, 0])));
        let labels = ints::<1>(&data, "x", &Device::default()).unwrap();
        assert_eq!(labels.try_into_vec_as::<i64>().unwrap(), [9, 0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let device = Device::default();
        let data = batch(Arc::new(Float64Array::from(vec![Some(1.0), None])));
        assert_eq!(message(floats::<1>(&data, "y", &device)), "column `y`: there is none; the stream carries x");
        assert!(message(floats::<1>(&data, "x", &device)).contains("row 1 of the batch is null"));
        assert!(message(floats::<2>(&data.slice(0, 1), "x", &device)).contains("lists were expected"));
        assert!(message(ints::<1>(&data.slice(0, 1), "x", &device)).contains("integers cannot be made of Float64"));

        let data = batch(Arc::new(StringArray::from(vec!["1"])));
        assert!(message(floats::<1>(&data, "x", &device)).contains("numbers cannot be made of Utf8"));

        let data = batch(Arc::new(UInt64Array::from(vec![u64::MAX])));
        assert!(message(ints::<1>(&data, "x", &device)).starts_with("column `x`"));

        let ragged = [Some(vec![Some(1), Some(2)]), Some(vec![Some(3)])];
        let data = batch(Arc::new(ListArray::from_iter_primitive::<UInt8Type, _, _>(ragged)));
        assert!(message(floats::<2>(&data, "x", &device)).contains("list 0 of the batch has 2 items and list 1 has 1"));
        assert!(message(floats::<1>(&data, "x", &device)).contains("1 dimensions"));

        let holed = [Some(vec![Some(1), None])];
        let data = batch(Arc::new(ListArray::from_iter_primitive::<UInt8Type, _, _>(holed)));
        assert!(message(floats::<2>(&data, "x", &device)).contains("a list holds a null"));
    }
}
