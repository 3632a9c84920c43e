//! Arrow columns as tensors.
//!
//! A column of numbers becomes `[rows]`; each level of lists around them adds a dimension, so a column of pixels as
//! `FixedSizeList` or `List` becomes `[rows, width]`. Lists of one level must all have the same length, and there must
//! be no nulls: what to do about either is for cleaning to decide, before a batch is made.
//!
//! Nothing is copied where the column has the device's own element type, which is `f32`, and `i32` unless the device was
//! set to wider integers: the tensor's data are then Arrow's buffer, which the backend takes as it is (flex), or uploads from (GPUs). Other types
//! are converted once. A tensor is free to be changed in place: the buffer is copied first, so the batch's columns, and
//! other tensors of them, stay what they were.

mod kinds;

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch},
    compute::cast_with_options,
    datatypes::DataType,
};
use burn::tensor::{Bool, Device, Int, Tensor};

pub use kinds::Kind;
use kinds::{STRICT, Unfit, other_field};

use crate::{
    Error, Result,
    error::BoxError,
    misfit::{Misfit, of_null},
};

/// A column of floats or integers as a float tensor, in the device's float type; values go through `f32`.
///
/// # Errors
///
/// [`Error::Column`], if there is no such column, it has not `D` − 1 levels of lists, it is no column of numbers, it has
/// a null, or its lists differ in length.
pub fn floats<const D: usize>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D>> {
    tensor(data, column, device)
}

/// A column of integers, such as labels or token ids, as an integer tensor, in the device's integer type.
///
/// # Errors
///
/// [`Error::Column`], as for [`floats`]; also if the column holds floats, or an integer that the device's integers have no
/// place for: of 32 bits, unless the device was set to wider ones.
pub fn ints<const D: usize>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D, Int>> {
    tensor(data, column, device)
}

/// A column of booleans, such as a mask, as a tensor of them.
///
/// # Errors
///
/// [`Error::Column`], as for [`floats`]; also if the column holds anything but booleans.
pub fn bools<const D: usize>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D, Bool>> {
    tensor(data, column, device)
}

/// A column whose rows are all reshaped to `shape`, whatever lists they are: pixels in one list as `[1, 28, 28]`.
///
/// The tensor has one dimension more than `shape`; another number of them does not compile.
///
/// # Errors
///
/// [`Error::Column`], as for [`floats`]; also if the rows have not as many values as the shape.
pub fn shaped<const D: usize, const S: usize, K: Kind>(
    data: &RecordBatch,
    column: &str,
    shape: [usize; S],
    device: &Device,
) -> Result<Tensor<D, K>> {
    const { assert!(D == S + 1, "a tensor of rows has one dimension more than a row's shape") };
    let array = find(data, column)?;
    let misfit = |unfit: Unfit| unfit.of(column, array);
    let (values, found) = flat(array, None).map_err(misfit)?;
    let (rows, row) = (found[0], &found[1..]);
    if row.iter().product::<usize>() != shape.iter().product::<usize>() {
        let what = format!("a row has the shape {row:?}, which cannot become {shape:?}");
        return Err(misfit(Unfit::whole(what)));
    }
    let shape = std::iter::once(rows).chain(shape).collect();
    let values = K::data(&values, shape, device).map_err(misfit)?;
    Ok(Tensor::from_data(values, device))
}

/// What can be made of one column of a batch: tensors, strings, or the column itself.
///
/// [`FromColumns`](derive@crate::FromColumns) makes each field of a batch with it.
pub trait FromColumn: Sized {
    /// What the rows of `column` come to.
    ///
    /// # Errors
    ///
    /// [`Error::Column`], if there is no such column or it is of another kind.
    fn from_column(data: &RecordBatch, column: &str, device: &Device) -> Result<Self>;
}

impl<const D: usize, K: Kind> FromColumn for Tensor<D, K> {
    fn from_column(data: &RecordBatch, column: &str, device: &Device) -> Result<Self> {
        tensor(data, column, device)
    }
}

/// Text, row by row.
impl FromColumn for Vec<String> {
    fn from_column(data: &RecordBatch, column: &str, _: &Device) -> Result<Self> {
        let array = find(data, column)?;
        let misfit = |unfit: Unfit| unfit.of(column, array);
        no_nulls(array).map_err(misfit)?;
        if !matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            let found = array.data_type();
            let what = format!("text was expected; found {found}: {}", other_field(found, 1));
            return Err(misfit(Unfit::whole(what)));
        }
        let text = cast_with_options(array, &DataType::Utf8View, &STRICT)
            .map_err(|error| misfit(Unfit::whole(error.to_string())))?;
        Ok(text.as_string_view().iter().flatten().map(str::to_owned).collect())
    }
}

/// The column as it is.
impl FromColumn for ArrayRef {
    fn from_column(data: &RecordBatch, column: &str, _: &Device) -> Result<Self> {
        find(data, column).map(Self::clone)
    }
}

/// None where the stream carries no such column.
impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(data: &RecordBatch, column: &str, device: &Device) -> Result<Self> {
        data.column_by_name(column).map(|_| T::from_column(data, column, device)).transpose()
    }
}

fn tensor<const D: usize, K: Kind>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D, K>> {
    let array = find(data, column)?;
    let values = flat(array, Some(D - 1)).and_then(|(values, shape)| K::data(&values, shape, device));
    Ok(Tensor::from_data(values.map_err(|unfit| unfit.of(column, array))?, device))
}

fn find<'a>(data: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef> {
    data.column_by_name(column).ok_or_else(|| Misfit::missing(column, data, "#[column(name = \"…\")]").into())
}

/// The error of a derived batch's `field`, given with its type, of the batch `of`.
#[doc(hidden)]
#[must_use]
pub fn of_field(error: BoxError, field: &str, of: &str) -> BoxError {
    match error.downcast::<Error>() {
        Ok(error) => match *error {
            Error::Column(misfit) => Error::from(misfit.of_field(format!("`{field}` of `{of}`"))).into(),
            other => other.into(),
        },
        Err(other) => other,
    }
}

fn no_nulls(array: &ArrayRef) -> Result<(), Unfit> {
    if array.null_count() == 0 {
        return Ok(());
    }
    let row = (0..array.len()).find(|&row| array.is_null(row));
    Err(Unfit { row, what: of_null(None) })
}

/// The values of a column without their lists, and the shape that these give them; `levels` of lists, or all there are.
fn flat(array: &ArrayRef, levels: Option<usize>) -> Result<(ArrayRef, Vec<usize>), Unfit> {
    let mut values = ArrayRef::clone(array);
    let mut shape = vec![values.len()];
    no_nulls(&values)?;
    loop {
        match levels {
            Some(levels) if shape.len() > levels => break,
            None if !is_list(values.data_type()) => break,
            _ => {}
        }
        let (length, items) = items(&values, &shape)?;
        shape.push(length);
        if items.null_count() > 0 {
            let index = (0..items.len()).find(|&index| items.is_null(index)).unwrap_or_default();
            return Err(Unfit::at(index, &shape, format!("a list holds a null; {}", of_null(None))));
        }
        values = items;
    }
    Ok((values, shape))
}

fn is_list(type_: &DataType) -> bool {
    matches!(type_, DataType::FixedSizeList(..) | DataType::List(_) | DataType::LargeList(_))
}

/// The common length of the lists in `array`, of which there are as many as `shape` says, and their items, flat.
fn items(array: &ArrayRef, shape: &[usize]) -> Result<(usize, ArrayRef), Unfit> {
    match array.data_type() {
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            let length = usize::try_from(lists.value_length()).map_err(|error| Unfit::whole(error.to_string()))?;
            Ok((length, ArrayRef::clone(lists.values())))
        }
        DataType::List(_) => equal_lists::<i32>(array, shape),
        DataType::LargeList(_) => equal_lists::<i64>(array, shape),
        other => Err(Unfit::whole(format!(
            "lists were expected, to give the tensor another dimension; found {other}: {}",
            other_field(other, shape.len())
        ))),
    }
}

fn equal_lists<O: OffsetSizeTrait>(array: &ArrayRef, shape: &[usize]) -> Result<(usize, ArrayRef), Unfit> {
    let lists = array.as_list::<O>();
    let offsets = lists.value_offsets();
    let first = offsets.first().map_or(0, |offset| offset.as_usize());
    let last = offsets.last().map_or(0, |offset| offset.as_usize());
    let mut lengths = offsets.array_windows().map(|[start, end]| end.as_usize() - start.as_usize());
    let length = lengths.next().unwrap_or_default();
    if let Some((index, other)) = lengths.enumerate().find(|&(_, other)| other != length) {
        let what = format!(
            "list 0 of the batch has {length} items and list {} has {other}; pad or cut them first, in a transform \
             (`StreamBuilder::transform`)",
            index + 1
        );
        return Err(Unfit::at(index + 1, shape, what));
    }
    Ok((length, lists.values().slice(first, last - first)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int32Array, ListArray,
            StringArray, UInt64Array,
        },
        datatypes::{Int32Type, UInt8Type},
    };
    use burn::tensor::{Float, TensorData};

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
        assert_eq!(
            message(floats::<1>(&data, "y", &device)),
            "column `y`: there is none; the stream carries `x`: add it to `columns` of the recipe, if the data have it, or make the field an `Option`"
        );
        assert!(
            message(floats::<1>(&data, "x", &device))
                .starts_with("column `x` (Float64), row 1 of the batch: it is null")
        );
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

    #[test]
    fn a_column_of_the_devices_type_is_not_copied_and_never_changed() {
        let device = Device::default();
        let at = |values: &[u8]| values.as_ptr();
        let x = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0]));
        let data = batch(Arc::<Float32Array>::clone(&x)).slice(1, 2);
        let tensor = floats::<1>(&data, "x", &device).unwrap();
        assert_eq!(at(tensor.into_data().as_bytes()), at(&x.values().inner().as_slice()[4..]));
        let doubled = floats::<1>(&data, "x", &device).unwrap().mul_scalar(2.0);
        assert_eq!(doubled.try_into_vec_as::<f32>().unwrap(), [4.0, 6.0]);

        // The device's integers have 32 bits unless it is told otherwise, so that wider ones are made anew.
        let labels = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let tensor = ints::<1>(&batch(Arc::<Int32Array>::clone(&labels)), "x", &device).unwrap();
        assert_eq!(at(tensor.into_data().as_bytes()), at(labels.values().inner().as_slice()));

        // The only handle: what is changed in place is a copy.
        let changed = floats::<1>(&data, "x", &device).unwrap().mul_scalar(-1.0).slice_fill(0..1, 9.0);
        assert_eq!(changed.try_into_vec_as::<f32>().unwrap(), [9.0, -3.0]);
        assert_eq!(x.values()[..], [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn rows_take_the_shape_asked_for_from_lists_of_any_depth() {
        let device = Device::default();
        let pixels = [Some([1, 2, 3, 4, 5, 6].map(Some)), Some([7, 8, 9, 10, 11, 12].map(Some))];
        let data = batch(Arc::new(FixedSizeListArray::from_iter_primitive::<UInt8Type, _, _>(pixels, 6)));
        let images: Tensor<4> = shaped(&data, "x", [1, 2, 3], &device).unwrap();
        assert_eq!(images.dims(), [2, 1, 2, 3]);
        assert_eq!(images.try_into_vec_as::<f32>().unwrap(), (1..=12).map(|i| i as f32).collect::<Vec<_>>());
        let flat: Tensor<2, Int> = shaped(&data, "x", [6], &device).unwrap();
        assert_eq!(flat.dims(), [2, 6]);
        let error = message(shaped::<3, 2, Float>(&data, "x", [2, 2], &device));
        assert!(error.ends_with("a row has the shape [6], which cannot become [2, 2]"), "{error}");
    }

    #[test]
    fn columns_become_what_their_field_is() {
        let device = Device::default();
        let data = batch(Arc::new(BooleanArray::from(vec![true, false, true]))).slice(1, 2);
        let mask = Tensor::<1, Bool>::from_column(&data, "x", &device).unwrap();
        assert_eq!(mask.into_data(), TensorData::from([false, true]));
        assert!(Option::<Tensor<1>>::from_column(&data, "absent", &device).unwrap().is_none());
        assert!(message(Option::<Tensor<1>>::from_column(&data, "x", &device)).contains("of numbers cannot be made"));
        assert!(message(ints::<1>(&data, "x", &device)).contains("of integers cannot be made of Boolean"));

        let data = batch(Arc::new(StringArray::from(vec![Some("soil"), Some("seed"), None])));
        assert_eq!(Vec::<String>::from_column(&data.slice(0, 2), "x", &device).unwrap(), ["soil", "seed"]);
        assert!(message(Vec::<String>::from_column(&data, "x", &device)).contains("row 2 of the batch: it is null"));
        assert_eq!(ArrayRef::from_column(&data, "x", &device).unwrap().len(), 3);

        let data = batch(Arc::new(Int32Array::from(vec![-1, i32::MAX])));
        let wide = ints::<1>(&data, "x", &device).unwrap().try_into_vec_as::<i64>().unwrap();
        assert_eq!(wide, [-1, i64::from(i32::MAX)]);
        assert!(message(Vec::<String>::from_column(&data, "x", &device)).contains("text was expected; found Int32"));
    }
}
