//! A burn `Dataset` as a source of a stream: its items become rows, cut into blocks, under a name that the user gives.
//!
//! Beside `data_loader` the only file that knows burn's data traits. It knows nothing of streams: it is a
//! [`Source`] like any other.

use std::{
    any::type_name,
    error::Error as StdError,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arable_loader::{
    Block, Error, Hash, Keep, Place, Plan, Result, Shard, Span,
    clean::content_keys,
    source::{BadRow, Decoded, Request, Source},
};
use arrow::{
    array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array},
    compute::{filter_record_batch, take_record_batch},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use burn::data::dataset::{Dataset, DatasetError};
use serde::{Serialize, de::DeserializeOwned};
use serde_arrow::schema::{SchemaLike, TracingOptions};

/// How many items are looked at to tell how large a row is.
const PROBES: usize = 64;
/// What a block is to take, decoded, where [`DatasetOptions`] leaves it open.
const BLOCK_BYTES: u64 = 1 << 20;
/// The most rows of such a block.
const MOST_ROWS: u64 = 8192;
/// An item is held as such, as a column that grows (up to twice its length), and as the column that it comes to.
const WORKING: u64 = 3;

/// What may be said of a dataset that becomes a source.
#[derive(Clone, Debug, Default)]
pub struct DatasetOptions {
    /// Rows of a block, at least 1; where it is left out, as many as take about 1 MiB, at most 8192. It is part of the
    /// dataset's identity.
    pub block_rows: Option<u32>,
    /// The columns, where they are not to be told from the item's type: see [`DatasetSource`].
    pub schema: Option<SchemaRef>,
}

/// A burn `Dataset` as a [`Source`], for [`StreamBuilder::source`](arable_loader::stream::StreamBuilder::source).
///
/// ```no_run
/// use std::sync::Arc;
///
/// use arable_loader::{Recipe, Stream};
/// use arable_trainer::DatasetSource;
/// use burn::data::dataset::InMemDataset;
///
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// struct Flower {
///     petal: f32,
///     species: i64,
/// }
///
/// # fn main() -> arable_loader::Result<()> {
/// let flowers = InMemDataset::new(vec![Flower { petal: 1.5, species: 0 }]);
/// let source = DatasetSource::new("flowers, 2024-05", flowers)?;
/// let recipe = Recipe::new("flowers").label("species").batch_size(32);
/// let stream = Stream::builder(recipe).source(Arc::new(source)).open()?;
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
///
/// **Identity.** A dataset in memory has no files whose hash could name it, so `identity` does: give it what tells these
/// items from others, such as a name and a version. A state that was taken under another identity, with another number of
/// items, other columns or blocks is refused. And what the items held at their first reading is remembered, in the state
/// too: where they hold something else later, that is a bad block. So `get` must give the same item for the same index
/// every time: random augmentation belongs into a [`Transform`](arable_loader::stream::Transform), whose randomness is
/// keyed.
///
/// **Columns** are the fields of the item `I`, told from its type by `serde_arrow`: numbers, booleans and texts as they
/// are, `Vec`s as lists, structures as structures, enumerations without data as texts, arrays (`[[f32; 28]; 28]`) and
/// tuples of one type as lists of fixed length. Types that show themselves only by their values
/// (`#[serde(untagged)]`, maps, enumerations with data) need [`DatasetOptions::schema`]. Every column may hold nulls, since
/// a row that cannot be read is null. A [`Batcher`](burn::data::dataloader::batcher::Batcher) of the same item type gets
/// its items back.
///
/// **Reading** asks for the items of a block one after another, on the stream's threads; several blocks are read at once.
/// An item that `get` returns an error for, panics over, or that does not fit the columns, is a bad row, and the recipe's
/// `on_bad_row` says what becomes of it. It must fail always or never.
///
/// **Memory**: 64 items, spread over the dataset, are encoded to tell how large a row is. Where items differ much in
/// length, blocks may be larger than planned, and the stream's memory with them. What the dataset itself holds is not
/// counted.
pub struct DatasetSource<I, D, E = DatasetError> {
    dataset: D,
    plan: Plan,
    rows: u32,
    length: usize,
    item: PhantomData<fn() -> (I, E)>,
}

impl<I, D, E> fmt::Debug for DatasetSource<I, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatasetSource").field("identity", &self.plan.url).field("items", &self.length).finish()
    }
}

impl<I, D, E> DatasetSource<I, D, E>
where
    I: Serialize + DeserializeOwned,
    D: Dataset<I, E>,
    E: StdError + Send + Sync + 'static,
{
    /// The items of `dataset` as rows, under the name `identity`.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where `identity` is empty or the item's columns cannot be told from its type; [`Error::Data`]
    /// where none of the items that are looked at can be read.
    pub fn new(identity: impl Into<String>, dataset: D) -> Result<Self> {
        Self::with_options(identity, dataset, &DatasetOptions::default())
    }

    /// The same, with `options`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`Error::Recipe`] also where `block_rows` is 0 or there would be more than 2³² − 1 blocks.
    pub fn with_options(identity: impl Into<String>, dataset: D, options: &DatasetOptions) -> Result<Self> {
        let identity = identity.into();
        if identity.trim().is_empty() {
            return Err(Error::recipe(
                "the dataset's identity is empty: give it a name that tells these items from others, such as \"mnist, \
                 training part\"; a run goes on only over a dataset of the same identity",
            ));
        }
        if options.block_rows == Some(0) {
            return Err(Error::recipe(format!("dataset `{identity}`: `block_rows` = 0: must be at least 1")));
        }
        let schema = match &options.schema {
            Some(schema) => nullable(schema.fields().iter().cloned()),
            None => nullable(traced::<I>(&identity)?.into_iter()),
        };
        let length = dataset.len();
        let plan = Plan {
            url: identity.clone(),
            schema: Arc::new(schema),
            shards: vec![Shard {
                path: identity.clone(),
                name: identity.clone(),
                bytes: 0,
                hash: Hash::of(format!("burn dataset of {length} items: {identity}").as_bytes()),
            }],
            blocks: Vec::new(),
            domains: Vec::new(),
        };
        let mut source = Self { dataset, plan, rows: 1, length, item: PhantomData };
        let row_bytes = source.row_bytes()?;
        let fitting = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, MOST_ROWS);
        source.rows = options.block_rows.unwrap_or(u32::try_from(fitting).unwrap_or(u32::MAX));
        let count = length.div_ceil(source.rows as usize);
        let count = u32::try_from(count).map_err(|_| {
            Error::recipe(format!(
                "dataset `{identity}`: {length} items in blocks of {} rows are too many",
                source.rows
            ))
        })?;
        let block = |index: u32| {
            let first = index as usize * source.rows as usize;
            let rows = (length - first).min(source.rows as usize) as u32;
            let decoded_bytes = row_bytes.saturating_mul(rows.into());
            Block {
                shard: 0,
                index,
                rows,
                bytes: decoded_bytes,
                decoded_bytes,
                working_bytes: decoded_bytes.saturating_mul(WORKING),
                span: Span::RowGroup { group: index, first_row: 0 },
                hashes: Vec::new(),
            }
        };
        source.plan.blocks = (0..count).map(block).collect();
        Ok(source)
    }

    /// How many bytes a row takes, about: the mean of some that are spread over the dataset.
    fn row_bytes(&self) -> Result<u64> {
        let probes = self.length.min(PROBES);
        // The first and the last are among them; 128 bits so that no length overflows.
        let last = self.length.saturating_sub(1) as u128;
        let places = (0..probes).map(|probe| (last * probe as u128 / (probes as u128 - 1).max(1)) as usize);
        let mut items = Vec::with_capacity(probes);
        let mut first_fault = None;
        for index in places {
            match self.item(index) {
                Ok(item) => items.push(item),
                Err(what) => first_fault = first_fault.or(Some((index, what))),
            }
        }
        if items.is_empty() {
            return match first_fault {
                None => Ok(0),
                Some((index, what)) => Err(Error::data(
                    Place::shard(self.plan.url.as_str()),
                    format!("none of {probes} items that were looked at can be read; item {index}: {what}"),
                )),
            };
        }
        let mut kept = 0_u64;
        let mut bytes = 0_u64;
        for item in &items {
            if let Ok(row) = self.encode(std::slice::from_ref(item)) {
                kept += 1;
                bytes += row.columns().iter().map(|column| slice_bytes(column.as_ref())).sum::<u64>();
            }
        }
        if kept == 0 {
            let what = self.encode(&items).err().unwrap_or_default();
            return Err(Error::recipe(format!(
                "dataset `{}`: items of `{}` do not fit the columns: {what}; give a schema in DatasetOptions",
                self.plan.url,
                type_name::<I>()
            )));
        }
        Ok(bytes.div_ceil(kept))
    }

    /// The item at `index`; its error or panic as text.
    fn item(&self, index: usize) -> Result<I, String> {
        match catch_unwind(AssertUnwindSafe(|| self.dataset.get(index))) {
            Ok(item) => item.map_err(|error| error.to_string()),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Err(format!("the dataset panicked: {text}"))
            }
        }
    }

    fn encode(&self, items: &[I]) -> Result<RecordBatch, String> {
        if items.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.plan.schema)));
        }
        let fields: Vec<FieldRef> = self.plan.schema.fields().iter().cloned().collect();
        let encoded = catch_unwind(AssertUnwindSafe(|| serde_arrow::to_record_batch(&fields, &items)));
        let batch = encoded.map_err(|_| "the item panicked while it was encoded".to_owned())?;
        let batch = batch.map_err(|error| error.message().to_owned())?;
        // serde_arrow makes a schema of its own of the same fields.
        let options = RecordBatchOptions::new().with_row_count(Some(items.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), batch.columns().to_vec(), &options)
            .map_err(|error| error.to_string())
    }

    /// All rows of the block of `rows` items from `first` on, and those that could not be read.
    fn rows(&self, first: usize, rows: u32, place: &Place) -> Result<(RecordBatch, Vec<BadRow>)> {
        let mut items = Vec::with_capacity(rows as usize);
        let mut bad = Vec::new();
        let fault = |row: u32, what: String| BadRow {
            row,
            column: None,
            what: format!("item {} of dataset `{}`: {what}", first + row as usize, self.plan.url),
        };
        let mut good = Vec::with_capacity(rows as usize);
        for row in 0..rows {
            match self.item(first + row as usize) {
                Ok(item) => {
                    items.push(item);
                    good.push(row);
                }
                Err(what) => bad.push(fault(row, what)),
            }
        }
        let data = match self.encode(&items) {
            Ok(data) => data,
            Err(_) => {
                // Which of them it was, only each alone can tell.
                let mut fitting = Vec::with_capacity(items.len());
                let mut places = Vec::with_capacity(items.len());
                for (item, row) in items.into_iter().zip(good) {
                    match self.encode(std::slice::from_ref(&item)) {
                        Ok(_) => {
                            fitting.push(item);
                            places.push(row);
                        }
                        Err(what) => bad.push(fault(row, format!("it does not fit the columns: {what}"))),
                    }
                }
                good = places;
                self.encode(&fitting).map_err(|what| Error::data(place.clone(), what))?
            }
        };
        if bad.is_empty() {
            return Ok((data, bad));
        }
        bad.sort_by_key(|bad| bad.row);
        let data = spread(&data, &good, rows).map_err(|error| Error::data(place.clone(), error.to_string()))?;
        Ok((data, bad))
    }
}

impl<I, D, E> Source for DatasetSource<I, D, E>
where
    I: Serialize + DeserializeOwned,
    D: Dataset<I, E>,
    E: StdError + Send + Sync + 'static,
{
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let Some(block) = self.plan.blocks.get(request.block as usize) else {
            let blocks = self.plan.blocks.len();
            return Err(Error::recipe(format!(
                "the plan has {blocks} blocks, and block {} is asked for",
                request.block
            )));
        };
        let place = self.plan.place(request.block);
        if let Some(keep) = request.rows.filter(|keep| keep.rows() != block.rows) {
            let what = format!("rows are picked from {}, and the block has {}", keep.rows(), block.rows);
            return Err(Error::data(place, what));
        }
        let now = self.dataset.len();
        if now != self.length {
            let what = format!("the dataset has {now} items, and had {} when it was planned", self.length);
            return Err(Error::data(place, what));
        }
        // All of them, whichever are asked for: what is not read cannot be compared with the first reading.
        let (data, bad) = self.rows(block.index as usize * self.rows as usize, block.rows, &place)?;
        let columns: Vec<usize> = (0..data.num_columns()).collect();
        let keys = content_keys(&data, &columns)?;
        let keys: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let hashes = vec![Hash::of(&keys)];
        if !request.expected.is_empty() && request.expected != hashes {
            return Err(Error::data(
                place,
                "its items are not those of the first reading: `get` must give the same item for the same index every \
                 time (random augmentation belongs into a transform), and other items need another identity",
            ));
        }
        let (data, bad_rows) = match request.rows {
            None => (data, bad),
            Some(keep) => (
                picked(&data, keep).map_err(|error| Error::data(place, error.to_string()))?,
                bad.into_iter().filter(|bad| keep.is_kept(bad.row)).collect(),
            ),
        };
        Ok(Decoded { data, hashes, bad_rows })
    }
}

/// The columns of `I`, as serde says them.
fn traced<I: DeserializeOwned>(identity: &str) -> Result<Vec<FieldRef>> {
    let options = TracingOptions::default()
        .allow_null_fields(true)
        .sequence_as_large_list(false)
        .strings_as_large_utf8(false)
        .bytes_as_large_binary(false)
        .enums_without_data_as_strings(true);
    let fields = Vec::<FieldRef>::from_type::<I>(options).map_err(|error| {
        Error::recipe(format!(
            "dataset `{identity}`: the columns of `{}` cannot be told from its type: {}; give a schema in DatasetOptions",
            type_name::<I>(),
            error.message()
        ))
    })?;
    Ok(fields.iter().map(|field| with_arrays(field)).collect())
}

/// `field` with arrays as lists of fixed length: serde says tuples of them, and serde_arrow structures of those.
fn with_arrays(field: &Field) -> FieldRef {
    let item = |field: &FieldRef| with_arrays(field);
    let data_type = match field.data_type() {
        DataType::Struct(members) => {
            let members: Vec<FieldRef> = members.iter().map(item).collect();
            let is_tuple = members.iter().enumerate().all(|(index, member)| *member.name() == index.to_string());
            let of_one_type = |first: &FieldRef| {
                members.iter().all(|member| {
                    member.data_type() == first.data_type() && member.is_nullable() == first.is_nullable()
                })
            };
            match (members.first(), i32::try_from(members.len())) {
                (Some(first), Ok(length)) if is_tuple && of_one_type(first) => {
                    let element = first.as_ref().clone().with_name("element");
                    let list = DataType::FixedSizeList(Arc::new(element), length);
                    return Arc::new(Field::new(field.name(), list, field.is_nullable()));
                }
                _ => DataType::Struct(members.into()),
            }
        }
        DataType::List(element) => DataType::List(item(element)),
        other => other.clone(),
    };
    Arc::new(field.clone().with_data_type(data_type))
}

/// The schema of `fields`, each of which may hold nulls.
fn nullable(fields: impl Iterator<Item = FieldRef>) -> Schema {
    Schema::new(fields.map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}

/// The rows of `data` at `places` among `rows` rows, the others null.
fn spread(data: &RecordBatch, places: &[u32], rows: u32) -> Result<RecordBatch, arrow::error::ArrowError> {
    if places.is_empty() {
        let nulls =
            data.schema().fields().iter().map(|field| new_null_array(field.data_type(), rows as usize)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        return RecordBatch::try_new_with_options(data.schema(), nulls, &options);
    }
    let mut indices = vec![None; rows as usize];
    for (index, &place) in (0_u32..).zip(places) {
        if let Some(slot) = indices.get_mut(place as usize) {
            *slot = Some(index);
        }
    }
    take_record_batch(data, &UInt32Array::from(indices))
}

fn picked(data: &RecordBatch, keep: &Keep) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mask: BooleanArray = (0..keep.rows()).map(|row| Some(keep.is_kept(row))).collect();
    filter_record_batch(data, &mask)
}

/// What the values of `array` take, without what its buffers have to spare.
fn slice_bytes(array: &dyn Array) -> u64 {
    array.to_data().get_slice_memory_size().map_or_else(|_| array.get_array_memory_size() as u64, |bytes| bytes as u64)
}
