//! The derives of `arable-trainer`, which re-exports them beside the traits that they implement; what they take is
//! documented there.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod from_columns;
mod select_rows;

/// Implements `arable_trainer::FromColumns` for a struct: each field is made of the column that has its name.
///
/// On a field, `#[column(…)]` takes
///
/// - `name = "image"`: the column's name, where it is not the field's. A field without a name needs it.
/// - `shape = [1, 28, 28]`: what each row is reshaped to. The field is then a tensor with one dimension more.
/// - `with = path`: a function `fn(&RecordBatch, &str, &Device) -> Result<T, E>` in place of the field type's own
///   `FromColumn`, with `E: Into<BoxError>`; it is given the column's name.
/// - `default`: no column, but the type's `Default`. It stands alone.
#[proc_macro_derive(FromColumns, attributes(column))]
pub fn from_columns(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    from_columns::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `arable_trainer::SelectRows` for a struct: the same rows of each field.
///
/// On a field, `#[select_rows(keep)]` leaves it as it is: for what a batch has once, and not for each of its rows.
#[proc_macro_derive(SelectRows, attributes(select_rows))]
pub fn select_rows(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    select_rows::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// The fields of a struct; what is none is refused by the derive's name.
fn fields<'a>(input: &'a DeriveInput, name: &str) -> syn::Result<&'a syn::Fields> {
    match &input.data {
        syn::Data::Struct(data) => Ok(&data.fields),
        _ => Err(syn::Error::new_spanned(
            &input.ident,
            format!("{name} can be derived for a struct, whose fields it fills"),
        )),
    }
}
