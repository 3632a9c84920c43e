use super::*;
use crate::Hash;
use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::{DataType, Field, Int64Type, Schema},
};

/// Adds 1, and cannot take some rows: says so, fails over them, or panics.
#[derive(Debug)]
enum Fussy {
    Says(i64),
    Fails(i64),
    Panics(i64),
}

impl Transform for Fussy {
    fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(Arc::clone(input))
    }

    fn apply(&self, samples: &Samples<'_>) -> Result<Transformed> {
        let values = samples.data.column(0).as_primitive::<Int64Type>();
        let data = rows(values.values().iter().map(|value| value + 1));
        let (Self::Says(of) | Self::Fails(of) | Self::Panics(of)) = self;
        let bad: Vec<usize> = (0..data.num_rows()).filter(|&row| values.value(row) % of == 0).collect();
        match self {
            Self::Says(_) => {
                let sample = |index| BadSample { index, column: Some("x".into()), what: "no".into() };
                Ok(Transformed { data, bad: bad.into_iter().map(sample).collect() })
            }
            _ if bad.is_empty() => Ok(data.into()),
            Self::Fails(_) => Err(Error::data(crate::Place::default().column("x"), "no")),
            Self::Panics(_) => panic!("no"),
        }
    }
}

/// Loses its first row.
#[derive(Debug)]
struct Loses;

impl Transform for Loses {
    fn fingerprint(&self) -> String {
        "loses".into()
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(Arc::clone(input))
    }

    fn apply(&self, samples: &Samples<'_>) -> Result<Transformed> {
        Ok(samples.data.slice(1, samples.data.num_rows() - 1).into())
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]))
}

fn rows(values: impl Iterator<Item = i64>) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(values)) as ArrayRef]).unwrap()
}

fn run(transforms: Vec<Arc<dyn Transform>>, values: std::ops::Range<i64>) -> Outcome {
    let positions: Vec<Position> = values.clone().map(|row| Position::new(3, row as u32)).collect();
    let chain = Chain::new(transforms, &schema(), 7).unwrap();
    chain.run(rows(values), &positions, &vec![1.0; positions.len()], 0).unwrap()
}

/// Whatever a transform does about a row that it cannot take, the same rows are left.
#[test]
fn a_row_that_cannot_be_taken_is_found_and_costs_no_other() {
    let expected: Vec<i64> = (0..100).filter(|value| value % 7 != 0).map(|value| value + 1).collect();
    for fussy in [Fussy::Says(7), Fussy::Fails(7), Fussy::Panics(7)] {
        let outcome = run(vec![Arc::new(fussy)], 0..100);
        assert_eq!(outcome.data, rows(expected.iter().copied()));
        assert_eq!(outcome.good, (0..100).filter(|row| row % 7 != 0).collect::<Vec<_>>());
        let bad: Vec<usize> = outcome.bad.iter().map(|bad| bad.index).collect();
        assert_eq!(bad, (0..100).step_by(7).collect::<Vec<_>>());
        assert!(outcome.bad.iter().all(|bad| bad.what.contains("no")));
    }
}

#[test]
fn what_one_transform_leaves_goes_to_the_next_with_its_place_kept() {
    // Multiples of 3 fall first, then those of which the successor is a multiple of 5.
    let outcome = run(vec![Arc::new(Fussy::Fails(3)), Arc::new(Fussy::Says(5))], 0..60);
    let left: Vec<i64> = (0..60).filter(|value| value % 3 != 0 && (value + 1) % 5 != 0).collect();
    assert_eq!(outcome.data, rows(left.iter().map(|value| value + 2)));
    assert_eq!(outcome.good, left.iter().map(|&value| value as usize).collect::<Vec<_>>());
    assert_eq!(outcome.good.len() + outcome.bad.len(), 60);
    assert!(outcome.bad.windows(2).all(|pair| pair[0].index < pair[1].index));
}

#[test]
fn a_transform_that_breaks_its_promise_is_at_fault_itself() {
    let chain = Chain::new(vec![Arc::new(Loses)], &schema(), 7).unwrap();
    let error = chain.run(rows(0..3), &[Position::default(); 3], &[1.0; 3], 0).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("2 rows for 3"), "{error}");
}

#[test]
fn randomness_follows_from_the_sample_and_from_nothing_around_it() {
    let data = rows(0..3);
    let positions = [Position::new(0, 5), Position::new(1, 5), Position::new(0, 6)];
    let samples = |epoch, seed| Samples { data: &data, positions: &positions, weights: &[1.0; 3], epoch, seed };
    let draw =
        |samples: Samples<'_>, index, purpose| Hash::of(&samples.randomness(index, purpose).unit().to_le_bytes());
    let one = draw(samples(0, 1), 0, "crop");
    assert_eq!(one, draw(samples(0, 1), 0, "crop"));
    for other in [
        draw(samples(0, 1), 1, "crop"),
        draw(samples(0, 1), 2, "crop"),
        draw(samples(0, 1), 0, "flip"),
        draw(samples(1, 1), 0, "crop"),
        draw(samples(0, 2), 0, "crop"),
    ] {
        assert_ne!(one, other);
    }
}
