//! What a policy's fit found: plain numbers that a state can hold exactly.
//!
//! It knows nothing of what the numbers mean; that is the policy's matter.

use crate::{Error, Result};

/// A policy's fitted numbers.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<f64>);

impl Parameters {
    /// These numbers.
    #[must_use]
    pub const fn new(values: Vec<f64>) -> Self {
        Self(values)
    }

    /// The numbers.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The numbers as bytes: their bits, little-endian, so that they come back exactly.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The numbers of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`Error::State`] if the bytes are no whole number of numbers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (values, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Error::State("a policy's parameters end in the middle of a number".into()));
        }
        Ok(Self(values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()))
    }
}

/// Equal bits, so that a NaN equals itself and a state can be compared.
impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

impl Eq for Parameters {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back_exactly(bits: Vec<u64>) {
            let parameters = Parameters::new(bits.into_iter().map(f64::from_bits).collect());
            prop_assert_eq!(Parameters::from_bytes(&parameters.to_bytes()).unwrap(), parameters);
        }
    }

    #[test]
    fn half_a_number_is_refused() {
        assert!(matches!(Parameters::from_bytes(&[0; 12]), Err(Error::State(_))));
    }
}
