//! `FromColumns`: a batch whose fields are the stream's columns.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Expr, ExprArray, Field, Ident, LitStr, Member, Path, Result, Token, spanned::Spanned};

/// What `#[column(…)]` says of a field.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    shape: Option<Vec<Expr>>,
    with: Option<Path>,
    default: bool,
}

impl Options {
    fn of(field: &Field) -> Result<Self> {
        let mut options = Self::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    set(&mut options.name, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("shape") {
                    let shape: ExprArray = meta.value()?.parse()?;
                    if shape.elems.is_empty() {
                        return Err(meta.error("a row's shape has one length at least"));
                    }
                    set(&mut options.shape, shape.elems.into_iter().collect(), &meta)
                } else if meta.path.is_ident("with") {
                    set(&mut options.with, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("default") {
                    if meta.input.peek(Token![=]) {
                        return Err(meta.error("`default` takes no value: it is the type's own"));
                    }
                    options.default = true;
                    Ok(())
                } else {
                    Err(meta.error("a column has `name`, `shape`, `with` or `default`"))
                }
            })?;
        }
        let others = options.name.is_some() || options.shape.is_some() || options.with.is_some();
        if options.default && others {
            return Err(syn::Error::new_spanned(field, "a field by `default` has no column, so it stands alone"));
        }
        if options.shape.is_some() && options.with.is_some() {
            return Err(syn::Error::new_spanned(field, "`with` gives the tensor its shape itself; leave `shape` out"));
        }
        Ok(options)
    }
}

fn set<T>(option: &mut Option<T>, value: T, meta: &syn::meta::ParseNestedMeta<'_>) -> Result<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("said twice")),
    }
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = crate::fields(input, "FromColumns")?;
    let mut members = Vec::new();
    let mut values = Vec::new();
    for (member, field) in fields.members().zip(fields) {
        values.push(value(&input.ident, &member, field)?);
        members.push(member);
    }
    let ident = &input.ident;
    let (generics, of, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::arable_trainer::FromColumns for #ident #of #bounds {
            fn from_columns(
                data: &::arable_trainer::arrow::array::RecordBatch,
                device: &::arable_trainer::burn::tensor::Device,
            ) -> ::core::result::Result<Self, ::arable_trainer::BoxError> {
                ::core::result::Result::Ok(Self { #(#members: #values,)* })
            }
        }
    })
}

/// The expression of one field's value; `of` is the batch's type.
fn value(of: &Ident, member: &Member, field: &Field) -> Result<TokenStream> {
    let Options { name, shape, with, default } = Options::of(field)?;
    let type_ = &field.ty;
    // Errors of the types involved are to point at the field.
    let span = field.ty.span();
    if default {
        return Ok(quote_spanned!(span=> <#type_ as ::core::default::Default>::default()));
    }
    let name = match (name, member) {
        (Some(name), _) => name.value(),
        (None, Member::Named(ident)) => ident.to_string().trim_start_matches("r#").to_owned(),
        (None, Member::Unnamed(_)) => {
            return Err(syn::Error::new_spanned(
                field,
                "a field without a name needs its column's: #[column(name = \"…\")]",
            ));
        }
    };
    let made = match (shape, with) {
        (_, Some(with)) => quote_spanned!(span=> #with(data, #name, device)),
        (Some(shape), None) => {
            quote_spanned!(span=> ::arable_trainer::columns::shaped(data, #name, [#(#shape),*], device))
        }
        (None, None) => quote_spanned! {span=>
            <#type_ as ::arable_trainer::columns::FromColumn>::from_column(data, #name, device)
        },
    };
    // For errors, which name the field as it is written.
    let (field, of) = (format!("{}: {}", quote!(#member), written(&quote!(#type_))), of.to_string());
    Ok(quote_spanned! {span=>
        #made.map_err(|error| ::arable_trainer::columns::of_field(::core::convert::Into::into(error), #field, #of))?
    })
}

/// A type as one writes it, without the spaces between its tokens.
fn written(type_: &TokenStream) -> String {
    let mut text = type_.to_string();
    for (spaced, close) in
        [(" < ", "<"), (" <", "<"), ("< ", "<"), (" > ", ">"), (" >", ">"), (" , ", ", "), (" :: ", "::")]
    {
        text = text.replace(spaced, close);
    }
    text
}
