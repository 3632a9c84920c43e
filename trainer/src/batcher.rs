//! The fast path from rows to tensors: a batcher that takes Arrow's columns as they are, and batches that are columns.

use std::{fmt, marker::PhantomData};

use arrow::array::RecordBatch;
use burn::tensor::Device;

use crate::error::BoxError;

/// Makes a batch `O` of tensors from Arrow columns, on a device.
///
/// It is called on the thread that iterates, so tensors may be made freely. The functions of
/// [`columns`](crate::columns) do the usual columns; closures of the same shape are batchers too.
///
/// ```
/// use arable_trainer::{ArrowBatcher, BoxError, columns};
/// use arrow::array::RecordBatch;
/// use burn::tensor::{Device, Int, Tensor};
///
/// struct Images {
///     pixels: Tensor<2>,
///     labels: Tensor<1, Int>,
/// }
///
/// struct ImageBatcher;
///
/// impl ArrowBatcher<Images> for ImageBatcher {
///     fn batch(&self, data: &RecordBatch, device: &Device) -> Result<Images, BoxError> {
///         Ok(Images {
///             pixels: columns::floats(data, "pixels", device)?,
///             labels: columns::ints(data, "label", device)?,
///         })
///     }
/// }
/// ```
pub trait ArrowBatcher<O>: Send + Sync {
    /// The rows of `data`, in their order, as one batch on `device`.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from making the batch; the loader adds the batch's number, and the training ends with it.
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<O, BoxError>;
}

impl<O, F> ArrowBatcher<O> for F
where
    F: Fn(&RecordBatch, &Device) -> Result<O, BoxError> + Send + Sync,
{
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<O, BoxError> {
        self(data, device)
    }
}

/// A batch that is made of a stream's columns, field by field.
///
/// The derive makes each field of the column that has its name, by the field type's
/// [`FromColumn`](crate::columns::FromColumn): tensors of floats, integers and booleans, `Vec<String>`, the Arrow column
/// itself, and an `Option` of these where a stream may lack the column. On a field, `#[column(…)]` takes
///
/// - `name = "image"`, where the column is not called as the field is;
/// - `shape = [1, 28, 28]`, to which each row is reshaped;
/// - `with = path`, a function `fn(&RecordBatch, &str, &Device) -> Result<T, E>` that makes the field its own way, where
///   E may be any error;
/// - `default`, for a field that is no column, but its type's `Default`.
///
/// ```
/// use arable_trainer::{BoxError, FromColumns, columns};
/// use arrow::array::{ArrayRef, FixedSizeListArray, Int32Array, RecordBatch};
/// # use arrow::datatypes::UInt8Type;
/// use burn::tensor::{Device, Int, Tensor};
/// # use std::sync::Arc;
///
/// #[derive(FromColumns)]
/// struct Images {
///     #[column(name = "pixels", with = grey)]
///     images: Tensor<3>,
///     label: Tensor<1, Int>,
/// }
///
/// fn grey(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<3>, BoxError> {
///     let images: Tensor<3> = columns::shaped(data, column, [2, 2], device)?;
///     Ok(images / 255)
/// }
///
/// # fn main() -> Result<(), BoxError> {
/// # let pixels = FixedSizeListArray::from_iter_primitive::<UInt8Type, _, _>([Some([0, 51, 255, 0].map(Some))], 4);
/// # let label = Int32Array::from(vec![7]);
/// # let data = RecordBatch::try_from_iter([("pixels", Arc::new(pixels) as ArrayRef), ("label", Arc::new(label))])?;
/// let batch = Images::from_columns(&data, &Device::default())?;
/// assert_eq!(batch.images.dims(), [1, 2, 2]);
/// # assert_eq!(batch.label.into_scalar::<i32>(), 7);
/// # Ok(())
/// # }
/// ```
///
/// [`CuratedDataLoader::of_columns`](crate::CuratedDataLoader::of_columns) needs no more than that, and no batcher.
pub trait FromColumns: Sized {
    /// The rows of `data`, in their order, as one batch on `device`.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from making the batch; the loader adds the batch's number, and the training ends with it.
    fn from_columns(data: &RecordBatch, device: &Device) -> Result<Self, BoxError>;
}

/// The batcher of a batch that knows how it is made of columns.
pub struct ColumnsBatcher<O>(PhantomData<fn() -> O>);

impl<O: FromColumns> ColumnsBatcher<O> {
    /// The batcher.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<O: FromColumns> Default for ColumnsBatcher<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O> fmt::Debug for ColumnsBatcher<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ColumnsBatcher").field(&std::any::type_name::<O>()).finish()
    }
}

impl<O: FromColumns> ArrowBatcher<O> for ColumnsBatcher<O> {
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<O, BoxError> {
        O::from_columns(data, device)
    }
}
