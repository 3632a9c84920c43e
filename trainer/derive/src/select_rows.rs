//! `SelectRows`: the same rows of each field.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Field, Result, parse_quote, spanned::Spanned};

/// Whether `#[select_rows(keep)]` stands on the field.
fn keeps(field: &Field) -> Result<bool> {
    let mut keep = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("select_rows")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("keep") {
                keep = true;
                Ok(())
            } else {
                Err(meta.error("a field may be kept as it is: #[select_rows(keep)]"))
            }
        })?;
    }
    Ok(keep)
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = crate::fields(input, "SelectRows")?;
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    let generic = generics.type_params().next().is_some();
    let (mut members, mut values) = (Vec::new(), Vec::new());
    for (member, field) in fields.members().zip(fields) {
        let type_ = &field.ty;
        let span = type_.span();
        values.push(if keeps(field)? {
            quote!(self.#member)
        } else {
            if generic {
                generics.make_where_clause().predicates.push(parse_quote!(#type_: ::arable_trainer::SelectRows));
            }
            quote_spanned!(span=> <#type_ as ::arable_trainer::SelectRows>::select_rows(self.#member, rows))
        });
        members.push(member);
    }
    let (generics, of, bounds) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::arable_trainer::SelectRows for #ident #of #bounds {
            #[allow(unused_variables, reason = "a struct may keep all of its fields")]
            fn select_rows(self, rows: &[usize]) -> Self {
                Self { #(#members: #values,)* }
            }
        }
    })
}
