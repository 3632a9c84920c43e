//! Texts as bytes, slots of them, and a small transformer that tells the next one.

use arable_loader::stream::{Samples, Transform, Transformed};
use arable_trainer::columns;
use arrow::{
    array::{AsArray, Int32Array, ListArray, RecordBatch},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use burn::{
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig,
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    tensor::{Bool, Device, Int, Tensor, TensorData, activation::log_softmax},
};
use std::sync::Arc;

/// What stands before each document: no byte.
const BEGIN: i32 = 256;
/// How many tokens there are.
const TOKENS: usize = 257;
/// Tokens of a slot. All but the first are told.
pub const SLOT: usize = 97;
/// The column of the tokens.
pub const COLUMN: &str = "tokens";

/// The tokens of a document.
#[must_use]
pub fn tokens(text: &str) -> Vec<i32> {
    std::iter::once(BEGIN).chain(text.bytes().map(i32::from)).collect()
}

/// Turns the column `text` into the column [`COLUMN`] of [`tokens`]. Of what is longer than a slot a stretch of a slot's
/// length is taken, another one in each pass: otherwise the few slots of a batch would be of one or two documents.
#[derive(Debug)]
pub struct Tokenise;

impl Transform for Tokenise {
    fn fingerprint(&self) -> String {
        "bytes in stretches/1".to_owned()
    }

    fn schema(&self, _: &SchemaRef) -> arable_loader::Result<SchemaRef> {
        let item = Arc::new(Field::new_list_field(DataType::Int32, false));
        Ok(Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::List(item), false)])))
    }

    fn apply(&self, samples: &Samples<'_>) -> arable_loader::Result<Transformed> {
        let texts = samples.data.column_by_name("text").and_then(|texts| cast(texts, &DataType::Utf8).ok());
        let texts = texts.ok_or_else(|| arable_loader::Error::recipe("there is no column `text` of texts"))?;
        let stretch = |(row, text): (usize, Option<&str>)| {
            let all = tokens(text.unwrap_or(""));
            let spare = all.len().saturating_sub(SLOT) as u64;
            let start = samples.randomness(row, "stretch").below(spare + 1) as usize;
            all[start..all.len().min(start + SLOT)].to_vec()
        };
        let rows: Vec<Vec<i32>> = texts.as_string::<i32>().iter().enumerate().map(stretch).collect();
        let item = Arc::new(Field::new_list_field(DataType::Int32, false));
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
        let lists = ListArray::new(item, offsets, Arc::new(Int32Array::from(rows.concat())), None);
        let batch = RecordBatch::try_new(self.schema(&samples.data.schema())?, vec![Arc::new(lists)]);
        Ok(batch.map_err(|error| arable_loader::Error::recipe(error.to_string()))?.into())
    }
}

/// Slots of tokens.
#[derive(Clone, Debug)]
pub struct Slots {
    /// `[slots, SLOT]`.
    tokens: Tensor<2, Int>,
    /// Whose document each token is, within its slot, `[slots, SLOT]`; 0 where it is nobody's.
    owners: Tensor<2, Int>,
}

impl Slots {
    /// The slots of a packed batch.
    ///
    /// # Errors
    ///
    /// A batch that is not packed.
    pub fn packed(data: &RecordBatch, device: &Device) -> Result<Self, arable_trainer::BoxError> {
        Ok(Self {
            tokens: columns::ints(data, COLUMN, device)?,
            owners: columns::ints(data, &format!("{COLUMN}_span"), device)?,
        })
    }

    /// One string of tokens, cut into slots, the last filled up: all of one document, as far as the model knows.
    #[must_use]
    pub fn cut(string: &[i32], device: &Device) -> Self {
        let slots = string.len().div_ceil(SLOT);
        let mut padded = string.to_vec();
        padded.resize(slots * SLOT, 0);
        let mut owners = vec![1; string.len()];
        owners.resize(slots * SLOT, 0);
        let ints = |numbers: Vec<i32>| Tensor::from_data(TensorData::new(numbers, [slots, SLOT]), device);
        Self { tokens: ints(padded), owners: ints(owners) }
    }

    /// How much each token's loss counts, `[slots, SLOT]`: 1 where the token before it is of the same document, else 0.
    #[must_use]
    pub fn counts(&self) -> Tensor<2> {
        let [slots, _] = self.owners.dims();
        let before = self.owners.clone().narrow(1, 0, SLOT - 1);
        let owners = self.owners.clone().narrow(1, 1, SLOT - 1);
        let counted = owners.clone().equal(before).bool_and(owners.not_equal_scalar(0)).float();
        Tensor::cat(vec![Tensor::zeros([slots, 1], &counted.device()), counted], 1)
    }

    /// True where a token must not be looked at: it comes later, or is of another document; `[slots, SLOT − 1, SLOT − 1]`.
    fn hidden(&self) -> Tensor<3, Bool> {
        let [slots, _] = self.owners.dims();
        let length = SLOT - 1;
        let owners = self.owners.clone().narrow(1, 0, length);
        let places = Tensor::<1, Int>::arange(0..length as i64, &owners.device());
        let later = places.clone().reshape([1, 1, length]).greater(places.reshape([1, length, 1]));
        let shape = [slots, length, length];
        let strange = owners.clone().reshape([slots, length, 1]).expand(shape);
        let strange = strange.not_equal(owners.reshape([slots, 1, length]).expand(shape));
        strange.bool_or(later.expand(shape))
    }
}

/// A transformer of two layers over bytes.
#[derive(Module, Debug)]
pub struct ByteModel {
    tokens: Embedding,
    places: Embedding,
    layers: TransformerEncoder,
    last: Linear,
}

impl ByteModel {
    /// Of `width` numbers a token, a multiple of 4.
    #[must_use]
    pub fn new(width: usize, device: &Device) -> Self {
        let layers = TransformerEncoderConfig::new(width, 4 * width, 4, 2).with_norm_first(true).with_dropout(0.0);
        Self {
            tokens: EmbeddingConfig::new(TOKENS, width).init(device),
            places: EmbeddingConfig::new(SLOT, width).init(device),
            layers: layers.init(device),
            last: LinearConfig::new(width, TOKENS).init(device),
        }
    }

    /// The loss of every token in nats, `[slots, SLOT]`; 0 for the first one of each slot, which nobody tells.
    #[must_use]
    pub fn losses(&self, batch: &Slots) -> Tensor<2> {
        let [slots, _] = batch.tokens.dims();
        let length = SLOT - 1;
        let places = Tensor::<1, Int>::arange(0..length as i64, &batch.tokens.device()).reshape([1, length]);
        let seen = self.tokens.forward(batch.tokens.clone().narrow(1, 0, length)) + self.places.forward(places);
        let seen = self.layers.forward(TransformerEncoderInput::new(seen).mask_attn(batch.hidden()));
        let log_p = log_softmax(self.last.forward(seen), 2);
        let told = batch.tokens.clone().narrow(1, 1, length).reshape([slots, length, 1]);
        let losses = log_p.gather(2, told).reshape([slots, length]).neg();
        Tensor::cat(vec![Tensor::zeros([slots, 1], &losses.device()), losses], 1)
    }

    /// The mean loss of a token that counts, as burn's users take it.
    #[must_use]
    pub fn mean_loss(&self, batch: &Slots) -> Tensor<1> {
        let counts = batch.counts();
        (self.losses(batch) * counts.clone()).sum() / counts.sum()
    }
}
