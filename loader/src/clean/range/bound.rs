//! The bounds of a range, and the types of numbers that can be held against them.

use arrow::{
    array::ArrowPrimitiveType,
    datatypes::{
        Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// A bound as the recipe writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    Integer(i64),
    /// Finite.
    Float(f64),
}

/// A type of numbers that can be held against a bound of another type.
pub(super) trait Number: ArrowPrimitiveType {
    /// At most every finite number of the type.
    const LOWEST: Self::Native;
    /// At least every finite number of the type.
    const HIGHEST: Self::Native;
    /// The least number of the type that satisfies the minimum, if any does.
    fn least(min: Bound) -> Option<Self::Native>;
    /// The greatest number of the type that satisfies the maximum, if any does.
    fn greatest(max: Bound) -> Option<Self::Native>;
    /// The number for evidence, rounded where it must be.
    fn to_f64(number: Self::Native) -> f64;
}

macro_rules! integers {
    ($($type:ty: $native:ty;)*) => {$(
        impl Number for $type {
            const LOWEST: $native = <$native>::MIN;
            const HIGHEST: $native = <$native>::MAX;

            fn least(min: Bound) -> Option<$native> {
                <$native>::try_from(min.ceil().max(i128::from(Self::LOWEST))).ok()
            }

            fn greatest(max: Bound) -> Option<$native> {
                <$native>::try_from(max.floor().min(i128::from(Self::HIGHEST))).ok()
            }

            fn to_f64(number: $native) -> f64 {
                number as f64
            }
        }
    )*};
}

integers! {
    Int8Type: i8;
    Int16Type: i16;
    Int32Type: i32;
    Int64Type: i64;
    UInt8Type: u8;
    UInt16Type: u16;
    UInt32Type: u32;
    UInt64Type: u64;
}

/// Arrow's 16-bit float, whose crate is not among ours.
pub(super) type Half = <Float16Type as ArrowPrimitiveType>::Native;

macro_rules! floats {
    ($($type:ty: $native:ty, $from:expr, $to:expr;)*) => {$(
        impl Number for $type {
            const LOWEST: $native = <$native>::MIN;
            const HIGHEST: $native = <$native>::MAX;

            fn least(min: Bound) -> Option<$native> {
                let least = $from(min.to_f64());
                (least <= Self::HIGHEST).then(|| if least < Self::LOWEST { Self::LOWEST } else { least })
            }

            fn greatest(max: Bound) -> Option<$native> {
                let greatest = $from(max.to_f64());
                (greatest >= Self::LOWEST).then(|| if greatest > Self::HIGHEST { Self::HIGHEST } else { greatest })
            }

            fn to_f64(number: $native) -> f64 {
                $to(number)
            }
        }
    )*};
}

floats! {
    Float16Type: Half, Half::from_f64, Half::to_f64;
    Float32Type: f32, |bound: f64| bound as f32, f64::from;
    Float64Type: f64, |bound: f64| bound, |number| number;
}

impl Bound {
    /// The least integer that is not below, exactly or beyond every 64-bit integer.
    fn ceil(self) -> i128 {
        match self {
            Self::Integer(number) => i128::from(number),
            Self::Float(number) => number.ceil() as i128,
        }
    }

    /// The greatest integer that is not above, exactly or beyond every 64-bit integer.
    fn floor(self) -> i128 {
        match self {
            Self::Integer(number) => i128::from(number),
            Self::Float(number) => number.floor() as i128,
        }
    }

    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    pub(super) fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => one > other,
            // One of them is an integer, so nothing lies between it and the other's neighbours.
            (one, other) => one.ceil() > other.ceil() || one.floor() > other.floor(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Bound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finite number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bound, E> {
                Ok(Bound::Integer(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Bound, E> {
                if number.is_finite() {
                    Ok(Bound::Float(number))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(number), &self))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
