//! The class of a row, from its label: what policies that go by class need to know of the data.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use xxhash_rust::xxh3::xxh3_64;

/// No class: the label is null, or of a kind that names none.
const UNKNOWN: u32 = u32::MAX;

/// One class a row: an integer label as it is, a text by 31 bits of its XXH3, anything else [`UNKNOWN`].
pub(super) fn of(labels: &ArrayRef) -> Vec<u32> {
    let rows = labels.len();
    let kind = labels.data_type();
    let kind = if let DataType::Dictionary(_, values) = kind { values.as_ref() } else { kind };
    if kind.is_integer() {
        if let Ok(numbers) = cast(labels, &DataType::Int64) {
            let numbers = numbers.as_primitive::<Int64Type>();
            return numbers
                .iter()
                .map(|number| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(UNKNOWN))
                .collect();
        }
    } else if matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean)
        && let Ok(texts) = cast(labels, &DataType::Utf8)
    {
        let hash = |text: &str| (xxh3_64(text.as_bytes()) >> 33) as u32;
        return texts.as_string::<i32>().iter().map(|text| text.map_or(UNKNOWN, hash)).collect();
    }
    vec![UNKNOWN; rows]
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Int8Array, StringArray, UInt64Array};
    use std::sync::Arc;

    #[test]
    fn integers_are_their_own_class_and_texts_have_one_each() {
        let numbers: ArrayRef = Arc::new(Int8Array::from(vec![Some(3), None, Some(-1), Some(0)]));
        assert_eq!(of(&numbers), [3, UNKNOWN, UNKNOWN, 0]);
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 7]));
        assert_eq!(of(&large), [UNKNOWN, 7]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("cat"), Some("dog"), None, Some("cat")]));
        let classes = of(&texts);
        assert_eq!(classes[0], classes[3]);
        assert_ne!(classes[0], classes[1]);
        assert_eq!(classes[2], UNKNOWN);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
        assert_eq!(of(&floats), [UNKNOWN]);
    }
}
