//! What a batcher's item or a derived batch says of a column that does not fit: the column with its type, the field with
//! its own, the row where it is one's fault and where that row lies, and what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "most of these items and batches are never made")]

mod support;

use std::sync::Arc;

use arable_loader::{
    Recipe,
    arrow::{
        array::{
            Array, ArrayRef, BooleanArray, Decimal256Array, FixedSizeListArray, Float64Array, Int64Array, ListArray,
            RecordBatch, StringArray, StructArray, UInt64Array,
        },
        datatypes::{DataType, Field, Int32Type, Int64Type},
    },
    recipe::Part,
};
use arable_trainer::{CuratedDataLoader, EvaluationDataLoader, FromColumns};
use burn::{
    data::dataloader::{DataLoader, batcher::Batcher},
    tensor::{Bool, Device, Int, Tensor},
};
use serde::{Deserialize, de::DeserializeOwned};
use support::Memory;

/// Rows of one column.
fn column(name: &str, values: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, Arc::new(values) as ArrayRef, true)]).unwrap()
}

/// Hands its rows on.
struct Rows;

impl<I: Send> Batcher<I, Vec<I>> for Rows {
    fn batch(&self, items: Vec<I>, _: &Device) -> Vec<I> {
        items
    }
}

/// What a training with rows of `I` ends with.
fn of_rows<I: DeserializeOwned + Send + 'static>(data: RecordBatch) -> String {
    let rows = data.num_rows();
    let loader = CuratedDataLoader::new::<I, _>(Memory::new(data).stream(rows, 1), Rows);
    loader.iter().next().unwrap().map(drop).expect_err("a misfit").to_string()
}

/// What a training with batches of `B` ends with.
fn of_columns<B: FromColumns + 'static>(data: RecordBatch) -> String {
    let rows = data.num_rows();
    let loader = CuratedDataLoader::<B>::of_columns(Memory::new(data).stream(rows, 1));
    loader.iter().next().unwrap().map(drop).expect_err("a misfit").to_string()
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    // What serde_arrow calls its methods helps nobody.
    assert!(!message.contains("deserialize"), "{message}");
}

#[derive(Deserialize)]
struct Named {
    label: String,
}

#[derive(Deserialize)]
struct Numbered {
    label: u8,
}

#[derive(Deserialize)]
struct Measured {
    petal: f32,
}

#[derive(Deserialize)]
struct Pictured {
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct Square {
    pixels: [[f32; 2]; 2],
}

#[test]
fn a_column_of_another_type_names_both_types_and_a_field_that_would_do() {
    let message = of_rows::<Named>(column("label", Int64Array::from(vec![7])));
    says(&message, &["batch 0: column `label` (Int64), for the field `label: String` of `Named`", "`7`", "`i64`"]);
    let message = of_rows::<Numbered>(column("label", StringArray::from(vec!["setosa"])));
    says(&message, &["column `label` (Utf8), for the field `label: u8` of `Numbered`", "`setosa`", "`String`"]);
    says(&message, &["or change the column in a transform"]);
    let message = of_rows::<Measured>(column("petal", Int64Array::from(vec![1])));
    says(&message, &["column `petal` (Int64), for the field `petal: f32` of `Measured`", "`1`", "`i64`"]);
}

#[test]
fn floats_of_another_width_are_read() {
    let loader = CuratedDataLoader::new::<Measured, _>(
        Memory::new(column("petal", Float64Array::from(vec![0.1]))).stream(1, 1),
        Rows,
    );
    let batch = loader.iter().next().unwrap().unwrap();
    assert_eq!(batch[0].petal, 0.1_f32);
}

#[test]
fn a_column_that_is_not_there_names_the_nearest_or_all() {
    let message = of_rows::<Measured>(column("petals", Float64Array::from(vec![1.0])));
    says(&message, &["column `petal`, for the field `petal` of `Measured`: there is none; did you mean `petals`?"]);
    says(&message, &["serde(rename"]);
    let message = of_rows::<Measured>(column("width", Float64Array::from(vec![1.0])));
    says(&message, &["there is none; the stream carries `width`", "`Option`"]);

    #[derive(FromColumns)]
    struct Measures {
        petal: Tensor<1>,
    }
    let message = of_columns::<Measures>(column("petals", Float64Array::from(vec![1.0])));
    says(
        &message,
        &["column `petal`, for the field `petal: Tensor<1>` of `Measures`", "did you mean `petals`?", "#[column(name"],
    );
}

#[test]
fn a_missing_column_is_none_where_the_field_is_an_option() {
    #[derive(Deserialize)]
    struct Perhaps {
        petal: Option<f32>,
        #[serde(default)]
        width: f32,
    }
    let data = column("other", Int64Array::from(vec![1]));
    let loader = CuratedDataLoader::new::<Perhaps, _>(Memory::new(data).stream(1, 1), Rows);
    let batch = loader.iter().next().unwrap().unwrap();
    assert_eq!((batch[0].petal, batch[0].width), (None, 0.0));
}

#[test]
fn a_null_names_its_row_and_where_that_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowers.csv");
    std::fs::write(&path, "petal,label\n0.5,1\n,2\n0.25,3\n").unwrap();
    let recipe = || Recipe::new(path.display().to_string()).batch_size(3);
    let place = |message: &str| {
        says(message, &["flowers.csv`, block 0, row 1): column `petal` (Float64)", "of the batch: it is null"]);
        says(message, &["the operator `missing`"]);
    };
    let loader = CuratedDataLoader::new::<Measured, _>(recipe().open().unwrap(), Rows);
    let message = loader.iter().next().unwrap().map(drop).expect_err("a null").to_string();
    place(&message);
    says(&message, &["for the field `petal: f32` of `Measured`", "make the field `Option<f32>`"]);

    #[derive(FromColumns)]
    struct Measures {
        petal: Tensor<1>,
    }
    let loader = CuratedDataLoader::<Measures>::of_columns(recipe().open().unwrap());
    place(&loader.iter().next().unwrap().map(drop).expect_err("a null").to_string());

    // In an evaluation too, also where burn gives a device a part of it.
    let loader = EvaluationDataLoader::<Measures>::of_columns(recipe().evaluation(Part::Train).unwrap());
    place(&loader.iter().next().unwrap().map(drop).expect_err("a null").to_string());
    let part = loader.slice(1, 3);
    let message = part.iter().next().unwrap().map(drop).expect_err("a null").to_string();
    place(&message);
    says(&message, &["row 0 of the batch"]);
}

#[test]
fn a_value_beyond_the_fields_type_names_itself_and_its_row() {
    let message = of_rows::<Numbered>(column("label", Int64Array::from(vec![255, 300])));
    says(&message, &["block 0, row", "column `label` (Int64), for the field `label: u8` of `Numbered`, row"]);
    says(&message, &["`300` is no `u8`", "out of range"]);
}

#[test]
fn lists_and_structures_say_what_their_items_were_to_be() {
    let list =
        |values: Vec<i64>| ListArray::from_iter_primitive::<Int64Type, _, _>([Some(values.into_iter().map(Some))]);
    let message = of_rows::<Pictured>(column("pixels", Int64Array::from(vec![1])));
    says(&message, &["column `pixels` (Int64), for the field `pixels: Vec<u8>` of `Pictured`", "make the field `i64`"]);
    let message = of_rows::<Numbered>(column("label", list(vec![1, 2])));
    says(&message, &["for the field `label: u8` of `Numbered`", "make the field `Vec<i64>`"]);
    let message = of_rows::<Pictured>(column("pixels", list(vec![1, 1000])));
    says(&message, &["for the field `pixels: Vec<u8>` of `Pictured`, row 0 of the batch", "out of range"]);
    let message = of_rows::<Square>(column("pixels", Float64Array::from(vec![1.0])));
    says(&message, &["for the field `pixels: [[f32; 2]; 2]` of `Square`", "make the field `f64`"]);

    let holed = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    let message = of_rows::<Pictured>(column("pixels", holed));
    says(&message, &["for the field `pixels: Vec<u8>` of `Pictured`, row 0 of the batch", "null"]);

    let fields = [(Arc::new(Field::new("x", DataType::Int64, false)), Arc::new(Int64Array::from(vec![1])) as ArrayRef)];
    let message = of_rows::<Numbered>(column("label", StructArray::from(fields.to_vec())));
    says(&message, &["for the field `label: u8` of `Numbered`", "a struct with the fields `x`"]);
}

#[test]
fn an_enumeration_names_its_levels() {
    #[derive(Deserialize)]
    enum Species {
        Setosa,
        Virginica,
    }
    #[derive(Deserialize)]
    struct Flower {
        species: Species,
    }
    let message = of_rows::<Flower>(column("species", StringArray::from(vec!["Setosa", "Setosa", "Rosa"])));
    says(&message, &["column `species` (Utf8), for the field `species: Species` of `Flower`, row", "`Rosa`"]);
    says(&message, &["`Setosa`", "`Virginica`"]);
}

#[test]
fn what_an_item_refuses_itself_names_the_row() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Measured")]
    struct Positive(f32);
    impl TryFrom<Measured> for Positive {
        type Error = String;

        fn try_from(Measured { petal }: Measured) -> Result<Self, String> {
            if petal > 0.0 { Ok(Self(petal)) } else { Err(format!("{petal} is not above 0")) }
        }
    }
    let message = of_rows::<Positive>(column("petal", Float64Array::from(vec![-1.0])));
    says(&message, &["block 0, row 0)", "Positive`, row 0 of the batch: -1 is not above 0"]);
}

#[test]
fn a_column_that_no_row_can_hold_is_named_and_can_be_left_out() {
    let wide = Decimal256Array::from(vec![None::<arable_loader::arrow::datatypes::i256>]);
    let data = RecordBatch::try_from_iter_with_nullable([
        ("petal", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef, true),
        ("price", Arc::new(wide) as ArrayRef, true),
    ]);
    let message = of_rows::<Measured>(data.unwrap());
    says(&message, &["column `price` (Decimal256", "leave it out of `columns`"]);
}

#[test]
fn derived_batches_name_the_field_with_its_type() {
    #[derive(FromColumns)]
    struct Labels {
        #[column(name = "label")]
        targets: Tensor<1, Int>,
    }
    let field = "for the field `targets: Tensor<1, Int>` of `Labels`";
    let message = of_columns::<Labels>(column("label", StringArray::from(vec!["setosa"])));
    says(&message, &["batch 0: column `label` (Utf8)", field, "make the field `Vec<String>`"]);
    let message = of_columns::<Labels>(column("label", Float64Array::from(vec![1.0])));
    says(&message, &["column `label` (Float64)", field, "make the field `Tensor<1>`"]);
    let message = of_columns::<Labels>(column("label", BooleanArray::from(vec![true])));
    says(&message, &["column `label` (Boolean)", field, "make the field `Tensor<1, Bool>`"]);
    let list = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])], 2);
    let message = of_columns::<Labels>(column("label", list));
    says(&message, &[field, "a tensor of more than 1 dimensions"]);

    #[derive(FromColumns)]
    struct Images {
        #[column(shape = [2, 2])]
        pixels: Tensor<3>,
        r#mask: Tensor<2, Bool>,
    }
    let list = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])], 2);
    let message = of_columns::<Images>(column("pixels", list));
    says(&message, &["for the field `pixels: Tensor<3>` of `Images`", "[2], which cannot become [2, 2]"]);
}

#[test]
fn integers_that_the_device_has_no_place_for_are_refused_and_not_cut() {
    #[derive(FromColumns)]
    struct Ids {
        id: Tensor<1, Int>,
    }
    let beyond = i64::from(i32::MAX) + 1;
    let message = of_columns::<Ids>(column("id", Int64Array::from(vec![1, beyond])));
    says(&message, &["column `id` (Int64), for the field `id: Tensor<1, Int>` of `Ids`, row", "`2147483648`"]);
    let message = of_columns::<Ids>(column("id", UInt64Array::from(vec![u64::MAX, 1])));
    says(&message, &["column `id` (UInt64)", "of the batch", "`18446744073709551615`", "transform"]);
}

#[test]
fn lists_of_different_lengths_name_the_row() {
    #[derive(FromColumns)]
    struct Tokens {
        tokens: Tensor<2, Int>,
    }
    let ragged = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(1), Some(2)])]);
    let message = of_columns::<Tokens>(column("tokens", ragged));
    says(
        &message,
        &["block 0, row", "for the field `tokens: Tensor<2, Int>` of `Tokens`, row 1 of the batch", "pad or cut"],
    );
    let holed = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    let message = of_columns::<Tokens>(column("tokens", holed));
    says(&message, &["row 0 of the batch: a list holds a null"]);
}
