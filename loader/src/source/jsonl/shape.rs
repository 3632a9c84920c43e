//! The schema of JSON objects, found by looking at all of them.
//!
//! Shapes merge in any grouping to the same result, so that blocks can be looked at in parallel. The rules are those of
//! arrow-json's inference: integers widen to floats, other mixtures of scalars to text, nulls fit everything. They
//! differ from it in two places. Where objects, lists and scalars are mixed, which arrow-json refuses or cannot read,
//! the most frequent of them is the shape and the rest are bad rows. And a list of nulls alone is one of nulls, not of
//! text.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::HashMap, fmt, sync::Arc};

/// What was seen in one place: at the top, below one name, or in one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    scalars: u64,
    lists: u64,
    objects: u64,
    scalar: Option<Scalar>,
    item: Option<Box<Self>>,
    fields: Members,
}

/// The type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Bool,
    Int,
    Float,
    Text,
}

/// The members of objects, in order of first appearance.
#[derive(Clone, Debug, Default)]
struct Members {
    shapes: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Members {
    /// The index of the member `name`, which objects of one dataset mostly have at the same place.
    fn index(&mut self, name: &str, guess: usize) -> usize {
        if self.shapes.get(guess).is_some_and(|(known, _)| known == name) {
            return guess;
        }
        if let Some(index) = self.places.get(name) {
            return *index;
        }
        let index = self.shapes.len();
        self.shapes.push((name.to_owned(), Shape::default()));
        self.places.insert(name.to_owned(), index);
        index
    }
}

impl Shape {
    /// Looks at one object; on an error the shape is spoilt.
    pub(super) fn observe(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(line);
        Observer { shape: self, top: true }.deserialize(&mut reader)?;
        reader.end()
    }

    /// Adds what another saw later in the data.
    pub(super) fn merge(&mut self, later: Self) {
        self.scalars += later.scalars;
        self.lists += later.lists;
        self.objects += later.objects;
        if let Some(scalar) = later.scalar {
            self.see_scalar(scalar);
        }
        if let Some(item) = later.item {
            self.item.get_or_insert_default().merge(*item);
        }
        for (guess, (name, shape)) in later.fields.shapes.into_iter().enumerate() {
            let index = self.fields.index(&name, guess);
            self.fields.shapes[index].1.merge(shape);
        }
    }

    fn see_scalar(&mut self, scalar: Scalar) {
        self.scalar = Some(match self.scalar {
            None => scalar,
            Some(known) if known == scalar => known,
            Some(Scalar::Int | Scalar::Float) if matches!(scalar, Scalar::Int | Scalar::Float) => Scalar::Float,
            Some(_) => Scalar::Text,
        });
    }

    /// How many names there are, at all depths.
    pub(super) fn names(&self) -> usize {
        let item = self.item.as_ref().map_or(0, |item| item.names());
        item + self.fields.shapes.iter().map(|(_, shape)| 1 + shape.names()).sum::<usize>()
    }

    /// The members of the objects seen, as columns that may be null.
    pub(super) fn schema(&self) -> Schema {
        Schema::new(self.fields())
    }

    fn fields(&self) -> Fields {
        self.fields.shapes.iter().map(|(name, shape)| Field::new(name, shape.data_type(), true)).collect()
    }

    fn data_type(&self) -> DataType {
        let most = self.scalars.max(self.lists).max(self.objects);
        if most == 0 {
            DataType::Null
        } else if most == self.scalars {
            match self.scalar {
                Some(Scalar::Bool) => DataType::Boolean,
                Some(Scalar::Int) => DataType::Int64,
                Some(Scalar::Float) => DataType::Float64,
                Some(Scalar::Text) | None => DataType::Utf8,
            }
        } else if most == self.lists {
            let item = self.item.as_ref().map_or(DataType::Null, |item| item.data_type());
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        } else {
            DataType::Struct(self.fields())
        }
    }
}

/// Puts what serde_json comes by into a shape, without making values.
struct Observer<'a> {
    shape: &'a mut Shape,
    top: bool,
}

impl Observer<'_> {
    fn scalar<E: Error>(self, scalar: Scalar) -> Result<(), E> {
        if self.top {
            return Err(E::custom(NOT_AN_OBJECT));
        }
        self.shape.scalars += 1;
        self.shape.see_scalar(scalar);
        Ok(())
    }
}

/// What is wrong with a line that holds another value.
pub(super) const NOT_AN_OBJECT: &str = "a line holds one JSON object, and this is another value";

impl<'de> DeserializeSeed<'de> for Observer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Observer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar(Scalar::Int)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(if i64::try_from(value).is_ok() { Scalar::Int } else { Scalar::Float })
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar(Scalar::Float)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar(Scalar::Text)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.top { Err(E::custom(NOT_AN_OBJECT)) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.top {
            return Err(A::Error::custom(NOT_AN_OBJECT));
        }
        self.shape.lists += 1;
        let item = self.shape.item.get_or_insert_default();
        while items.next_element_seed(Observer { shape: item, top: false })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.shape.objects += 1;
        let fields = &mut self.shape.fields;
        let mut guess = 0;
        while let Some(index) = members.next_key_seed(Name { fields: &mut *fields, guess })? {
            members.next_value_seed(Observer { shape: &mut fields.shapes[index].1, top: false })?;
            guess = index + 1;
        }
        Ok(())
    }
}

/// Finds a member by its name, without making a string of it.
struct Name<'a> {
    fields: &'a mut Members,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        Ok(self.fields.index(name, self.guess))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::json::reader::infer_json_schema_from_iterator;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn shape(values: &[Value]) -> Shape {
        let mut shape = Shape::default();
        for value in values {
            shape.observe(value.to_string().as_bytes()).unwrap();
        }
        shape
    }

    fn schema_of(values: &[Value]) -> Schema {
        shape(values).schema()
    }

    #[test]
    fn scalars_widen_and_nulls_fit_everything() {
        let data_type = |values: &[Value]| {
            let objects: Vec<_> = values.iter().map(|value| json!({"a": value})).collect();
            schema_of(&objects).field(0).data_type().clone()
        };
        assert_eq!(data_type(&[json!(1), json!(null), json!(2)]), DataType::Int64);
        assert_eq!(data_type(&[json!(1), json!(2.5)]), DataType::Float64);
        assert_eq!(data_type(&[json!(u64::MAX)]), DataType::Float64);
        assert_eq!(data_type(&[json!(true), json!(1)]), DataType::Utf8);
        assert_eq!(data_type(&[json!(1.5), json!("x"), json!(2)]), DataType::Utf8);
        assert_eq!(data_type(&[json!(null)]), DataType::Null);
        assert_eq!(data_type(&[json!([null])]), DataType::List(Arc::new(Field::new_list_field(DataType::Null, true))));
    }

    #[test]
    fn the_most_frequent_of_object_list_and_scalar_is_the_shape() {
        let values = [json!({"a": 1}), json!({"a": [1]}), json!({"a": 2}), json!({"a": {"b": 1}})];
        assert_eq!(schema_of(&values).field(0).data_type(), &DataType::Int64);
    }

    #[test]
    fn columns_keep_the_order_of_their_first_appearance() {
        let mut shape = Shape::default();
        for line in [r#"{"z":1,"a":2}"#, r#"{"m":1,"a":2,"z":3}"#] {
            shape.observe(line.as_bytes()).unwrap();
        }
        let schema = shape.schema();
        assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["z", "a", "m"]);
        assert_eq!(shape.names(), 3);
    }

    #[test]
    fn only_whole_objects_are_lines() {
        for line in ["1", "[]", "null", "\"a\"", "{} {}", "{\"a\":}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"] {
            assert!(Shape::default().observe(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Shape::default().observe(b"{\"a\":\"\xff\"}").is_err());
        assert!(Shape::default().observe(b" {} \r").is_ok());
    }

    /// JSON of one shape a name, as arrow-json's inference takes without error.
    fn value(kind: u8) -> BoxedStrategy<Value> {
        let scalar = prop_oneof![
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
            Just(Value::Null),
        ];
        match kind {
            0 => scalar.boxed(),
            1 => proptest::collection::vec(scalar, 0..4)
                .prop_filter("a list of nulls alone is where we differ", |items| {
                    items.is_empty() || items.iter().any(|item| !item.is_null())
                })
                .prop_map(Value::from)
                .boxed(),
            _ => proptest::collection::btree_map("[a-c]", scalar, 1..3).prop_map(|map| json!(map)).boxed(),
        }
    }

    proptest! {
        #[test]
        fn the_schema_is_that_of_arrow_however_the_lines_are_grouped(
            objects in proptest::collection::vec((value(0), value(1), value(2)), 1..20),
            cut in 0..20_usize,
        ) {
            let objects: Vec<Value> = objects.into_iter().map(|(a, b, c)| json!({"p": a, "q": b, "r": c})).collect();
            let ours = schema_of(&objects);
            let arrows = infer_json_schema_from_iterator(objects.iter().map(Ok)).unwrap();
            let sorted = |schema: &Schema| {
                fn key(data_type: &DataType) -> String {
                    match data_type {
                        DataType::Struct(fields) => {
                            let mut keys: Vec<_> =
                                fields.iter().map(|field| format!("{}:{}", field.name(), key(field.data_type()))).collect();
                            keys.sort();
                            format!("{{{}}}", keys.join(","))
                        }
                        DataType::List(item) => format!("[{}]", key(item.data_type())),
                        other => other.to_string(),
                    }
                }
                let mut fields: Vec<_> =
                    schema.fields().iter().map(|field| (field.name().clone(), key(field.data_type()))).collect();
                fields.sort();
                fields
            };
            prop_assert_eq!(sorted(&ours), sorted(&arrows));
            let (head, tail) = objects.split_at(cut.min(objects.len()));
            let mut merged = shape(head);
            merged.merge(shape(tail));
            prop_assert_eq!(merged.schema(), ours);
        }
    }
}
