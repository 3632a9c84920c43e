//! The fast path from rows to tensors: a batcher that takes Arrow's columns as they are.

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
