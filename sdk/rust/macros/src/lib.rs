//! The attribute `function` of `pilotlight-sdk`. It reads the signature by hand: a guest's build
//! waits for no parser of Rust.

use std::fmt::Write as _;

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Exports a function to scripts: `gateway.wasm("NAME").function(...)`.
///
/// The function stays as it is. What the manifest's `functions` says of it: `&[u8]`, `&str`,
/// `Vec<u8>` and `String` are `string`; `i32` and `u32` are `i32`; `i64` and `u64` are `i64`;
/// `f32`, `f64` and `bool` are themselves. It may return a `Result`: an error ends the call, and its
/// text stands in the log.
#[proc_macro_attribute]
pub fn function(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut out = item.clone();
    let export = match Signature::read(item) {
        Ok(signature) => signature.export(),
        Err(problem) => format!("::core::compile_error!({problem:?});"),
    };
    // What is written here is Rust, whatever the signature held.
    out.extend(export.parse::<TokenStream>().unwrap_or_default());
    out
}

/// What has to be known of a function to call it.
struct Signature {
    name: String,
    /// Types of the parameters, as they are written.
    parameters: Vec<String>,
    result: String,
}

impl Signature {
    fn read(item: TokenStream) -> Result<Signature, &'static str> {
        let mut tokens = item.into_iter();
        for token in tokens.by_ref() {
            match token {
                TokenTree::Ident(word) if word.to_string() == "fn" => break,
                TokenTree::Ident(word) if word.to_string() == "async" => {
                    return Err("an exported function cannot be async");
                }
                _ => {}
            }
        }
        let Some(TokenTree::Ident(name)) = tokens.next() else {
            return Err("`function` stands before a function");
        };
        let parameters = match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                types(&group)?
            }
            _ => return Err("an exported function has no generic parameters"),
        };
        let result = tokens.take_while(|token| !is_body(token)).collect::<TokenStream>();
        let result = result.to_string().replacen("->", "", 1);
        let result = if result.trim().is_empty() { "()".to_owned() } else { result };
        Ok(Signature { name: name.to_string(), parameters, result })
    }

    /// The function as the gateway calls it: a string comes as pointer and length.
    fn export(&self) -> String {
        let Signature { name, result, .. } = self;
        let (mut takes, mut reads, mut gives) = (String::new(), String::new(), String::new());
        for (index, ty) in self.parameters.iter().enumerate() {
            if is_text(ty) {
                let _ = write!(takes, "p{index}: *const u8, n{index}: usize, ");
                // SAFETY (of what is written): the gateway passes ranges that `alloc` gave it.
                let _ = write!(
                    reads,
                    "let a{index} = unsafe {{ ::pilotlight_sdk::module::text(p{index}, n{index}) }}?;"
                );
            } else {
                let _ =
                    write!(takes, "w{index}: <{ty} as ::pilotlight_sdk::module::Number>::Wire, ");
                let _ = write!(
                    reads,
                    "let a{index} = <{ty} as ::pilotlight_sdk::module::Number>::from_wire(w{index});"
                );
            }
            let _ = write!(gives, "a{index}, ");
        }
        format!(
            "#[cfg(target_arch = \"wasm32\")]
            const _: () = {{
                #[unsafe(export_name = \"{name}\")]
                unsafe extern \"C\" fn exported({takes}) -> <{result} as ::pilotlight_sdk::module::Answer>::Wire {{
                    ::pilotlight_sdk::module::answer(\"{name}\", || {{ {reads} Ok({name}({gives})) }})
                }}
            }};"
        )
    }
}

fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether a parameter of this type is a string to scripts.
fn is_text(ty: &str) -> bool {
    let ty: String = ty.split_whitespace().collect();
    ty.starts_with('&') || ty.ends_with("String") || ty.ends_with("Vec<u8>")
}

/// The parameters' types.
fn types(parameters: &Group) -> Result<Vec<String>, &'static str> {
    let mut types = Vec::new();
    let mut tokens = parameters.stream().into_iter().peekable();
    while tokens.peek().is_some() {
        // The pattern, up to its colon.
        let mut named = false;
        for token in tokens.by_ref() {
            if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ':') {
                named = true;
                break;
            }
        }
        if !named {
            return Err("an exported function is no method");
        }
        let (mut ty, mut depth) = (Vec::new(), 0);
        for token in tokens.by_ref() {
            if let TokenTree::Punct(punct) = &token {
                match punct.as_char() {
                    '<' => depth += 1,
                    '>' => depth -= 1,
                    ',' if depth == 0 => break,
                    _ => {}
                }
            }
            ty.push(token);
        }
        types.push(ty.into_iter().collect::<TokenStream>().to_string());
    }
    Ok(types)
}
