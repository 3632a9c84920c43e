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

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch},
    buffer::Buffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{ArrowPrimitiveType, DataType, Float32Type, Int32Type, Int64Type},
};
use burn::tensor::{AllocationProperty, Bool, Bytes, DType, Device, Float, Int, Tensor, TensorData, kind::Basic};

use crate::{Error, Result};

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
/// [`Error::Column`], as for [`floats`]; also if the column holds floats, or an integer above `i64`'s range.
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
    let err = |what: String| Error::Column { column: column.to_owned(), what };
    let (values, found) = flat(data, column, None)?;
    let (rows, row) = (found[0], &found[1..]);
    if row.iter().product::<usize>() != shape.iter().product::<usize>() {
        return Err(err(format!("a row has the shape {row:?}, which cannot become {shape:?}")));
    }
    let shape = std::iter::once(rows).chain(shape).collect();
    let values = K::data(&values, shape).map_err(err)?;
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
        let err = |what: String| Error::Column { column: column.to_owned(), what };
        let array = find(data, column)?;
        no_nulls(array, "row").map_err(err)?;
        if !matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Err(err(format!("text was expected; found {}", array.data_type())));
        }
        let text = cast_with_options(array, &DataType::Utf8View, &STRICT).map_err(|error| err(error.to_string()))?;
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

/// A kind of tensor that a column can become: burn's `Float`, `Int` and `Bool`.
pub trait Kind: Basic + sealed::Values {}

impl<K: Basic + sealed::Values> Kind for K {}

mod sealed {
    use super::{ArrayRef, TensorData};

    /// How values become a tensor's data.
    pub trait Values {
        /// What is expected, in an error.
        const WHAT: &str;

        /// The data of `values`, which are flat and without nulls, in this shape.
        fn data(values: &ArrayRef, shape: Vec<usize>) -> Result<TensorData, String>;
    }
}

impl sealed::Values for Float {
    const WHAT: &str = "numbers";

    fn data(values: &ArrayRef, shape: Vec<usize>) -> Result<TensorData, String> {
        let found = values.data_type();
        if !(found.is_integer() || found.is_floating()) {
            return Err(unfit(Self::WHAT, found, &shape));
        }
        shared::<Float32Type>(values, shape, DType::F32)
    }
}

impl sealed::Values for Int {
    const WHAT: &str = "integers";

    fn data(values: &ArrayRef, shape: Vec<usize>) -> Result<TensorData, String> {
        match values.data_type() {
            // Most GPUs have integers of 32 bits, and would get them by way of 64.
            DataType::Int32 => shared::<Int32Type>(values, shape, DType::I32),
            found if found.is_integer() => shared::<Int64Type>(values, shape, DType::I64),
            found => Err(unfit(Self::WHAT, found, &shape)),
        }
    }
}

impl sealed::Values for Bool {
    const WHAT: &str = "booleans";

    fn data(values: &ArrayRef, shape: Vec<usize>) -> Result<TensorData, String> {
        let Some(bits) = values.as_boolean_opt() else {
            return Err(unfit(Self::WHAT, values.data_type(), &shape));
        };
        // Arrow has eight to the byte, and tensors have not.
        Ok(TensorData::new(bits.values().iter().collect::<Vec<bool>>(), shape))
    }
}

fn unfit(what: &str, found: &DataType, shape: &[usize]) -> String {
    format!("a tensor of {} dimensions of {what} cannot be made of {found}", shape.len())
}

/// A value that does not fit its new type is an error, and not a null.
const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FORMAT };
const FORMAT: arrow::util::display::FormatOptions<'static> = arrow::util::display::FormatOptions::new();

/// An Arrow buffer as what `bytes` can share.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The buffer of `values` as a tensor's data of type `dtype`, which is `T`'s.
fn shared<T: ArrowPrimitiveType>(values: &ArrayRef, shape: Vec<usize>, dtype: DType) -> Result<TensorData, String> {
    let values = cast_with_options(values, &T::DATA_TYPE, &STRICT).map_err(|error| error.to_string())?;
    let buffer = values.as_primitive::<T>().values().inner().clone();
    let bytes = Bytes::from_shared(bytes::Bytes::from_owner(Shared(buffer)), AllocationProperty::Native);
    TensorData::try_from_bytes(bytes, shape, dtype).map_err(|error| error.to_string())
}

fn tensor<const D: usize, K: Kind>(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<D, K>> {
    let (values, shape) = flat(data, column, Some(D - 1))?;
    let values = K::data(&values, shape).map_err(|what| Error::Column { column: column.to_owned(), what })?;
    Ok(Tensor::from_data(values, device))
}

fn find<'a>(data: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef> {
    data.column_by_name(column).ok_or_else(|| {
        let names: Vec<_> = data.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        let what = format!("there is none; the stream carries {}", names.join(", "));
        Error::Column { column: column.to_owned(), what }
    })
}

fn no_nulls(array: &ArrayRef, place: &str) -> Result<(), String> {
    if array.null_count() == 0 {
        return Ok(());
    }
    let at = (0..array.len()).find(|&at| array.is_null(at)).unwrap_or_default();
    Err(format!("{place} {at} of the batch is null; fill or drop nulls while cleaning"))
}

/// The values of a column without their lists, and the shape that these give them; `levels` of lists, or all there are.
fn flat(data: &RecordBatch, column: &str, levels: Option<usize>) -> Result<(ArrayRef, Vec<usize>)> {
    let err = |what: String| Error::Column { column: column.to_owned(), what };
    let mut values = ArrayRef::clone(find(data, column)?);
    let mut shape = vec![values.len()];
    no_nulls(&values, "row").map_err(err)?;
    loop {
        match levels {
            Some(levels) if shape.len() > levels => break,
            None if !is_list(values.data_type()) => break,
            _ => {}
        }
        let (length, items) = items(&values).map_err(err)?;
        if items.null_count() > 0 {
            return Err(err("a list holds a null; fill or drop nulls while cleaning".to_owned()));
        }
        shape.push(length);
        values = items;
    }
    Ok((values, shape))
}

fn is_list(type_: &DataType) -> bool {
    matches!(type_, DataType::FixedSizeList(..) | DataType::List(_) | DataType::LargeList(_))
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
        array::{
            BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int32Array, ListArray,
            StringArray, UInt64Array,
        },
        datatypes::UInt8Type,
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
        assert_eq!(error, "column `x`: a row has the shape [6], which cannot become [2, 2]");
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
        assert!(message(Vec::<String>::from_column(&data, "x", &device)).contains("row 2 of the batch is null"));
        assert_eq!(ArrayRef::from_column(&data, "x", &device).unwrap().len(), 3);

        let data = batch(Arc::new(Int32Array::from(vec![-1, i32::MAX])));
        let wide = ints::<1>(&data, "x", &device).unwrap().try_into_vec_as::<i64>().unwrap();
        assert_eq!(wide, [-1, i64::from(i32::MAX)]);
        assert!(message(Vec::<String>::from_column(&data, "x", &device)).contains("text was expected; found Int32"));
    }
}
