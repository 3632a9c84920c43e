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

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use syn::{DeriveInput, parse_quote};

    use super::*;

    fn refused(derive: fn(&DeriveInput) -> syn::Result<TokenStream>, input: &DeriveInput) -> String {
        derive(input).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_no_struct_is_refused_by_name() {
        let input = parse_quote!(
            enum Either {
                One,
                Other,
            }
        );
        assert!(refused(from_columns::derive, &input).starts_with("FromColumns can be derived for a struct"));
        assert!(refused(select_rows::derive, &input).starts_with("SelectRows can be derived for a struct"));
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let wrong: [(DeriveInput, &str); 8] = [
            (
                parse_quote!(
                    struct B {
                        #[column(nmae = "x")]
                        x: X,
                    }
                ),
                "a column has `name`, `shape`, `with` or `default`",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(name = "x", name = "y")]
                        x: X,
                    }
                ),
                "said twice",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(name = x)]
                        x: X,
                    }
                ),
                "expected string literal",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(shape = [])]
                        x: X,
                    }
                ),
                "one length at least",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(shape = [2], with = f)]
                        x: X,
                    }
                ),
                "leave `shape` out",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(default, name = "x")]
                        x: X,
                    }
                ),
                "stands alone",
            ),
            (
                parse_quote!(
                    struct B {
                        #[column(default = 3)]
                        x: X,
                    }
                ),
                "takes no value",
            ),
            (
                parse_quote!(
                    struct B(X);
                ),
                "needs its column's",
            ),
        ];
        for (input, message) in wrong {
            let found = refused(from_columns::derive, &input);
            assert!(found.contains(message), "{found}");
        }
        let input = parse_quote!(
            struct B {
                #[select_rows(skip)]
                x: X,
            }
        );
        assert!(refused(select_rows::derive, &input).contains("#[select_rows(keep)]"));
    }
}
