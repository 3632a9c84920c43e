//! The derives: a batch from columns, and the choice of a batch's rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use arable_loader::{
    arrow::array::{Array, ArrayRef, BooleanArray, FixedSizeListArray, Int32Array, RecordBatch, StringArray},
    arrow::datatypes::{Float32Type, UInt8Type},
};
use arable_trainer::{BoxError, CuratedDataLoader, Error, FromColumns, SelectRows, columns};
use burn::{
    data::dataloader::{DataLoader, batcher::Batcher},
    tensor::{Bool, Device, Int, Tensor},
};
use support::Memory;

/// Twelve rows with columns of several kinds.
fn data() -> RecordBatch {
    let rows = 0..12_u8;
    let pixels = rows.clone().map(|row| Some([row, 1, 2, 3].map(Some)));
    let x = rows.clone().map(|row| Some([Some(f32::from(row)), Some(0.5)]));
    let columns: [(&str, ArrayRef); 5] = [
        ("pixels", Arc::new(FixedSizeListArray::from_iter_primitive::<UInt8Type, _, _>(pixels, 4))),
        ("x", Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2))),
        ("type", Arc::new(Int32Array::from_iter_values(rows.clone().map(|row| i32::from(row % 3))))),
        ("seen", Arc::new(BooleanArray::from_iter(rows.clone().map(|row| Some(row % 2 == 0))))),
        ("name", Arc::new(StringArray::from_iter_values(rows.map(|row| format!("row {row}"))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[derive(Clone, Debug, FromColumns, SelectRows)]
struct Everything {
    #[column(name = "pixels", shape = [2, 2])]
    images: Tensor<3>,
    #[column(name = "pixels", with = scaled)]
    scaled: Tensor<2>,
    r#type: Tensor<1, Int>,
    seen: Tensor<1, Bool>,
    name: Vec<String>,
    absent: Option<Tensor<1>>,
    #[column(default)]
    #[select_rows(keep)]
    note: String,
}

fn scaled(data: &RecordBatch, column: &str, device: &Device) -> Result<Tensor<2>, Error> {
    Ok(columns::floats(data, column, device)? / 255)
}

fn floats<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().try_into_vec_as().unwrap()
}

#[test]
fn each_field_is_its_column() {
    let batch = Everything::from_columns(&data().slice(4, 3), &Device::default()).unwrap();
    assert_eq!(batch.images.dims(), [3, 2, 2]);
    assert_eq!(floats(&batch.images)[..5], [4.0, 1.0, 2.0, 3.0, 5.0]);
    assert_eq!(floats(&batch.scaled)[3], 3.0 / 255.0);
    assert_eq!(batch.r#type.clone().try_into_vec_as::<i64>().unwrap(), [1, 2, 0]);
    assert!(batch.seen.clone().into_data().iter::<bool>().eq([true, false, true]));
    assert_eq!(batch.name, ["row 4", "row 5", "row 6"]);
    assert!(batch.absent.is_none() && batch.note.is_empty());

    let error = Everything::from_columns(&data().project(&[0, 1]).unwrap(), &Device::default()).unwrap_err();
    let message = error.to_string();
    let wanted = "column `type`, for the field `r#type: Tensor<1, Int>` of `Everything`: there is none; the stream carries \
                  `pixels`, `x`";
    assert!(message.starts_with(wanted), "{message}");
}

#[derive(FromColumns)]
struct Pair(#[column(name = "x")] Tensor<2>, #[column(name = "type")] Tensor<1, Int>);

#[test]
fn fields_without_names_are_filled_too() {
    let Pair(x, types) = Pair::from_columns(&data(), &Device::default()).unwrap();
    assert_eq!((x.dims(), types.dims()), ([12, 2], [12]));
}

#[derive(Clone, Debug, FromColumns)]
struct Points {
    x: Tensor<2>,
    r#type: Tensor<1, Int>,
}

#[derive(serde::Deserialize)]
struct Point {
    x: Vec<f32>,
    r#type: i64,
}

struct PointBatcher;

impl Batcher<Point, Points> for PointBatcher {
    fn batch(&self, items: Vec<Point>, device: &Device) -> Points {
        let x: Vec<_> = items.iter().flat_map(|item| item.x.iter().copied()).collect();
        let types: Vec<_> = items.iter().map(|item| item.r#type).collect();
        Points {
            x: Tensor::<1>::from_floats(x.as_slice(), device).reshape([items.len(), 2]),
            r#type: Tensor::from_ints(types.as_slice(), device),
        }
    }
}

#[test]
fn a_loader_of_columns_gives_the_batches_of_one_of_rows() {
    let columns = CuratedDataLoader::<Points>::of_columns(Memory::new(data()).stream(5, 2));
    let rows = CuratedDataLoader::new(Memory::new(data()).stream(5, 2), PointBatcher);
    for _ in 0..2 {
        let (mut columns, mut rows) = (columns.iter(), rows.iter());
        for _ in 0..3 {
            let (one, other) = (columns.next().unwrap().unwrap(), rows.next().unwrap().unwrap());
            assert_eq!(one.positions(), other.positions());
            assert_eq!(one.x.to_data(), other.x.to_data());
            assert_eq!(one.r#type.to_data(), other.r#type.to_data());
        }
        assert!(columns.next().is_none() && rows.next().is_none());
    }
}

#[test]
fn a_batch_that_cannot_be_made_ends_the_epoch_with_the_column_named() {
    let data = data().project(&[1]).unwrap();
    let loader = CuratedDataLoader::<Points>::of_columns(Memory::new(data).stream(5, 1));
    let error = loader.iter().next().unwrap().expect_err("an error");
    let source: &(dyn std::error::Error + 'static) = &error;
    let ours = source.source().and_then(|source| source.downcast_ref::<Error>()).expect("an error of the trainer's");
    let wanted = "batch 0: column `type`, for the field `r#type: Tensor<1, Int>` of `Points`: there is none";
    assert!(ours.to_string().starts_with(wanted), "{ours}");
}

#[test]
fn the_same_rows_are_selected_of_each_field_and_what_is_kept_stays() {
    let mut batch = Everything::from_columns(&data(), &Device::default()).unwrap();
    batch.note = "kept".to_owned();
    batch.absent = Some(Tensor::from_floats([0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.], &Device::default()));
    let some = batch.select_rows(&[7, 0, 7]);
    assert_eq!(some.images.dims(), [3, 2, 2]);
    assert_eq!(floats(&some.images)[..5], [7.0, 1.0, 2.0, 3.0, 0.0]);
    assert_eq!(some.r#type.try_into_vec_as::<i64>().unwrap(), [1, 0, 1]);
    assert!(some.seen.into_data().iter::<bool>().eq([false, true, false]));
    assert_eq!(some.name, ["row 7", "row 0", "row 7"]);
    assert_eq!(floats(&some.absent.unwrap()), [7.0, 0.0, 7.0]);
    assert_eq!(some.note, "kept");
}

#[derive(Debug, PartialEq, SelectRows)]
struct Of<T, const N: usize = 1>
where
    T: PartialEq,
{
    some: T,
    pair: (Vec<u8>, Option<T>),
}

#[derive(SelectRows)]
struct Unnamed(Vec<u8>, #[select_rows(keep)] usize);

#[test]
fn generic_and_unnamed_fields_are_selected_of() {
    let of = Of::<_, 3> { some: vec!['a', 'b', 'c'], pair: (vec![1, 2, 3], None) };
    assert_eq!(of.select_rows(&[2, 1]), Of { some: vec!['c', 'b'], pair: (vec![3, 2], None) });
    let Unnamed(rows, width) = Unnamed(vec![5, 6], 28).select_rows(&[1]);
    assert_eq!((rows, width), (vec![6], 28));
}

#[test]
fn a_derived_batch_takes_any_error_of_its_functions() {
    #[derive(FromColumns)]
    struct Failing {
        #[column(with = fails)]
        #[expect(dead_code, reason = "it is never made")]
        x: ArrayRef,
    }
    fn fails(data: &RecordBatch, column: &str, _: &Device) -> Result<ArrayRef, BoxError> {
        assert!(!data.column_by_name(column).unwrap().is_empty());
        Err("no ground for it".into())
    }
    let error = Failing::from_columns(&data(), &Device::default()).err().expect("an error");
    assert_eq!(error.to_string(), "no ground for it");
}
