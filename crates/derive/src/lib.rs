//! `#[derive(Event)]`: ties the name, the arguments and the acknowledgement of an event together.
//!
//! Used through the `kokanee` crate, which documents it.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{DeriveInput, LitStr, Type, parse_macro_input, parse_quote};

/// Implements `Event`: the type becomes the arguments of one event.
///
/// * `#[event(name = "…")]` sets the event's name. Without it, the name is the type's in `snake_case`.
/// * `#[event(ack = Type)]` sets what the acknowledgement carries. Without it, that is `()`.
///
/// The type must also implement `Serialize` and `Deserialize`. A struct with named fields is one argument, an object;
/// the fields of a tuple struct are several arguments.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let mut name = None::<LitStr>;
    let mut ack = None::<Type>;
    for attribute in &input.attrs {
        if !attribute.path().is_ident("event") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse()?);
                Ok(())
            } else if meta.path.is_ident("ack") {
                ack = Some(meta.value()?.parse()?);
                Ok(())
            } else {
                Err(meta.error("expected `name` or `ack`"))
            }
        })?;
    }
    let ident = &input.ident;
    let name = match name {
        Some(name) if is_reserved(&name.value()) => {
            return Err(syn::Error::new_spanned(name, "a reserved event name"));
        }
        Some(name) => name,
        None => {
            let name = snake_case(&ident.to_string());
            if is_reserved(&name) {
                return Err(syn::Error::new_spanned(
                    ident,
                    format!(
                        "`{name}` is a reserved event name; set another with #[event(name = \"…\")]"
                    ),
                ));
            }
            LitStr::new(&name, ident.span())
        }
    };
    let ack = ack.unwrap_or_else(|| parse_quote!(()));
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::kokanee::Event for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            type Ack = #ack;
        }
    })
}

/// Returns whether the implementations of the protocol use this name themselves.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "connect"
            | "connect_error"
            | "disconnect"
            | "disconnecting"
            | "newListener"
            | "removeListener"
    )
}

fn snake_case(ident: &str) -> String {
    let mut name = String::with_capacity(ident.len() + 4);
    for (index, letter) in ident.char_indices() {
        if letter.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> Result<String, String> {
        let input = syn::parse_str(input).expect("an item");
        expand(&input)
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_name_is_the_types_in_snake_case() {
        assert_eq!(snake_case("ChatMessage"), "chat_message");
        assert!(
            expanded("struct ChatMessage { text: String }").is_ok_and(|code| {
                code.contains("NAME : & 'static str = \"chat_message\"")
                    && code.contains("type Ack = ()")
            })
        );
    }

    #[test]
    fn name_and_acknowledgement_can_be_set() {
        let code =
            expanded("#[event(name = \"sum\", ack = Result<i64, String>)] struct Add(i64, i64);");
        assert!(code.is_ok_and(|code| {
            code.contains("= \"sum\"") && code.contains("type Ack = Result < i64 , String >")
        }));
    }

    #[test]
    fn mistakes_are_named() {
        for (input, error) in [
            (
                "#[event(nme = \"x\")] struct A;",
                "expected `name` or `ack`",
            ),
            (
                "#[event(name = \"connect\")] struct A;",
                "a reserved event name",
            ),
            (
                "struct Disconnect;",
                "`disconnect` is a reserved event name",
            ),
        ] {
            assert!(
                expanded(input).is_err_and(|message| message.contains(error)),
                "{input}"
            );
        }
    }
}
