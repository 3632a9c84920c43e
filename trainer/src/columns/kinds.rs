//! Values of a column, flat and without nulls, as a tensor's data, by the kind of tensor; and what is said of those that
//! cannot be.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::Buffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{ArrowPrimitiveType, DataType, Float32Type, Int32Type, Int64Type},
};
use burn::tensor::{AllocationProperty, Bool, Bytes, DType, Device, Float, Int, IntDType, TensorData, kind::Basic};

use super::is_list;
use crate::{
    Error,
    misfit::{Misfit, cell},
};

/// A kind of tensor that a column can become: burn's `Float`, `Int` and `Bool`.
pub trait Kind: Basic + sealed::Values {}

impl<K: Basic + sealed::Values> Kind for K {}

pub(super) use sealed::Unfit;

mod sealed {
    use super::{ArrayRef, Device, TensorData};

    /// What does not fit, of a column that whoever found it knows.
    #[derive(Debug)]
    pub struct Unfit {
        /// The row at fault, where it is one's.
        pub(in crate::columns) row: Option<usize>,
        pub(in crate::columns) what: String,
    }

    /// How values become a tensor's data.
    pub trait Values {
        /// What is expected, in an error.
        const WHAT: &str;

        /// The data of `values`, which are flat and without nulls, in this shape, for `device`.
        fn data(values: &ArrayRef, shape: Vec<usize>, device: &Device) -> Result<TensorData, Unfit>;
    }
}

impl sealed::Values for Float {
    const WHAT: &str = "numbers";

    fn data(values: &ArrayRef, shape: Vec<usize>, _: &Device) -> Result<TensorData, Unfit> {
        let found = values.data_type();
        if !(found.is_integer() || found.is_floating()) {
            return Err(unfit(Self::WHAT, found, &shape));
        }
        shared::<Float32Type>(values, shape, DType::F32)
    }
}

impl sealed::Values for Int {
    const WHAT: &str = "integers";

    fn data(values: &ArrayRef, shape: Vec<usize>, device: &Device) -> Result<TensorData, Unfit> {
        match values.data_type() {
            // Most GPUs have integers of 32 bits, and would get them by way of 64.
            DataType::Int32 => {
                within::<Int32Type>(values, &shape, device)?;
                shared::<Int32Type>(values, shape, DType::I32)
            }
            found if found.is_integer() => {
                let wide = wide(values, &shape)?;
                within::<Int64Type>(&wide, &shape, device)?;
                shared::<Int64Type>(&wide, shape, DType::I64)
            }
            found => Err(unfit(Self::WHAT, found, &shape)),
        }
    }
}

impl sealed::Values for Bool {
    const WHAT: &str = "booleans";

    fn data(values: &ArrayRef, shape: Vec<usize>, _: &Device) -> Result<TensorData, Unfit> {
        let Some(bits) = values.as_boolean_opt() else {
            return Err(unfit(Self::WHAT, values.data_type(), &shape));
        };
        // Arrow has eight to the byte, and tensors have not.
        Ok(TensorData::new(bits.values().iter().collect::<Vec<bool>>(), shape))
    }
}

impl Unfit {
    pub(super) const fn whole(what: String) -> Self {
        Self { row: None, what }
    }

    /// Of value number `index` of all those that rows of this shape hold.
    pub(super) fn at(index: usize, shape: &[usize], what: String) -> Self {
        Self { row: Some(index / shape.iter().skip(1).product::<usize>().max(1)), what }
    }

    pub(super) fn of(self, column: &str, array: &ArrayRef) -> Error {
        let misfit = Misfit::new(column, array.data_type(), self.what);
        self.row.map_or(misfit.clone(), |row| misfit.at(row)).into()
    }
}

fn unfit(what: &str, found: &DataType, shape: &[usize]) -> Unfit {
    let dimensions = shape.len();
    let other = other_field(found, dimensions);
    Unfit::whole(format!("a tensor of {dimensions} dimensions of {what} cannot be made of {found}: {other}"))
}

/// What a field could be that takes values of type `found`, of which a row has `dimensions` − 1 levels of lists.
pub(super) fn other_field(found: &DataType, dimensions: usize) -> String {
    let field = match found {
        found if found.is_integer() => format!("`Tensor<{dimensions}, Int>` or `Tensor<{dimensions}>`"),
        found if found.is_floating() => format!("`Tensor<{dimensions}>`"),
        DataType::Boolean => format!("`Tensor<{dimensions}, Bool>`"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if dimensions == 1 => "`Vec<String>`".to_owned(),
        found if is_list(found) => format!("a tensor of more than {dimensions} dimensions"),
        _ => "an `ArrayRef`".to_owned(),
    };
    format!("make the field {field}, or change the column in a transform (`StreamBuilder::transform`)")
}

/// The integers that a device's type of them holds, as far as `i64` does.
const fn range_of(int: IntDType) -> (i64, i64) {
    match int {
        IntDType::I64 => (i64::MIN, i64::MAX),
        IntDType::I32 => (i32::MIN as i64, i32::MAX as i64),
        IntDType::I16 => (i16::MIN as i64, i16::MAX as i64),
        IntDType::I8 => (i8::MIN as i64, i8::MAX as i64),
        IntDType::U64 => (0, i64::MAX),
        IntDType::U32 => (0, u32::MAX as i64),
        IntDType::U16 => (0, u16::MAX as i64),
        IntDType::U8 => (0, u8::MAX as i64),
    }
}

/// Integers of any type as those of 64 bits.
fn wide(values: &ArrayRef, shape: &[usize]) -> Result<ArrayRef, Unfit> {
    cast_with_options(values, &DataType::Int64, &STRICT).map_err(|error| {
        // What does not fit becomes a null where that is allowed.
        let lenient = cast_with_options(values, &DataType::Int64, &CastOptions { safe: true, ..STRICT });
        let index = lenient.ok().and_then(|lenient| (0..lenient.len()).find(|&index| lenient.is_null(index)));
        match index {
            Some(index) => too_large(values, index, shape),
            None => Unfit::whole(error.to_string()),
        }
    })
}

/// Whether all of `values` lie within the range of the device's integers: converted without a look, others would come out
/// wrong.
fn within<T>(values: &ArrayRef, shape: &[usize], device: &Device) -> Result<(), Unfit>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let numbers = values.as_primitive::<T>().values();
    // What every type of integers holds, as most labels are.
    if numbers.iter().all(|&value| (0..=i64::from(i8::MAX)).contains(&value.into())) {
        return Ok(());
    }
    let (least, most) = range_of(device.settings().int_dtype);
    match numbers.iter().position(|&value| !(least..=most).contains(&value.into())) {
        Some(index) => Err(too_large(values, index, shape)),
        None => Ok(()),
    }
}

fn too_large(values: &ArrayRef, index: usize, shape: &[usize]) -> Unfit {
    let value = cell(values, index).unwrap_or_default();
    let what = format!(
        "the device's integers have no place for its value {value}: number the values anew in a transform          (`StreamBuilder::transform`), or set the device to wider integers"
    );
    Unfit::at(index, shape, what)
}

/// A value that does not fit its new type is an error, and not a null.
pub(super) const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FORMAT };
const FORMAT: arrow::util::display::FormatOptions<'static> = arrow::util::display::FormatOptions::new();

/// An Arrow buffer as what `bytes` can share.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The buffer of `values` as a tensor's data of type `dtype`, which is `T`'s.
fn shared<T: ArrowPrimitiveType>(values: &ArrayRef, shape: Vec<usize>, dtype: DType) -> Result<TensorData, Unfit> {
    let err = |error: &dyn std::fmt::Display| Unfit::whole(error.to_string());
    let values = cast_with_options(values, &T::DATA_TYPE, &STRICT).map_err(|error| err(&error))?;
    let buffer = values.as_primitive::<T>().values().inner().clone();
    let bytes = Bytes::from_shared(bytes::Bytes::from_owner(Shared(buffer)), AllocationProperty::Native);
    TensorData::try_from_bytes(bytes, shape, dtype).map_err(|error| err(&error))
}
