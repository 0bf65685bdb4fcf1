//! The beginnings of Wasm filters and applications: what stands in `sdk/`, a copy of it in each.

use super::Files;

macro_rules! sdk {
    ($($name:literal = $file:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../sdk/", $file)))),*]
    };
}

/// Beside every filter: how to serve it, and its test.
pub(super) const COMMON: Files = sdk! {
    "NAME/pilotlight.toml" = "template/pilotlight.toml"
    "NAME/filter_test.lua" = "template/filter_test.lua"
    "NAME/.gitignore" = "template/gitignore"
};

pub(super) const RUST: Files = sdk! {
    "NAME/Cargo.toml" = "rust/template/Cargo.toml"
    "NAME/src/lib.rs" = "rust/template/src/lib.rs"
    "NAME/build" = "rust/template/build"
};

pub(super) const RUST_SDK: Files = sdk! {
    "NAME/sdk/Cargo.toml" = "rust/Cargo.toml"
    "NAME/sdk/src/lib.rs" = "rust/src/lib.rs"
    "NAME/sdk/src/filter.rs" = "rust/src/filter.rs"
    "NAME/sdk/src/module.rs" = "rust/src/module.rs"
    "NAME/sdk/src/testing/mod.rs" = "rust/src/testing/mod.rs"
    "NAME/sdk/src/testing/calls.rs" = "rust/src/testing/calls.rs"
    "NAME/sdk/src/testing/exchange.rs" = "rust/src/testing/exchange.rs"
    "NAME/sdk/src/testing/message.rs" = "rust/src/testing/message.rs"
    "NAME/sdk/src/testing/world.rs" = "rust/src/testing/world.rs"
    "NAME/sdk/macros/Cargo.toml" = "rust/macros/Cargo.toml"
    "NAME/sdk/macros/src/lib.rs" = "rust/macros/src/lib.rs"
};

pub(super) const APPLICATION: Files = sdk! {
    "NAME/Cargo.toml" = "rust/application/Cargo.toml"
    "NAME/src/lib.rs" = "rust/application/src/lib.rs"
    "NAME/build" = "rust/application/build"
    "NAME/pilotlight.toml" = "rust/application/pilotlight.toml"
    "NAME/.gitignore" = "template/gitignore"
};

pub(super) const C: Files = sdk! {
    "NAME/filter.c" = "c/template/filter.c"
    "NAME/build" = "c/template/build"
};

pub(super) const C_SDK: Files = sdk! {
    "NAME/proxy_wasm.h" = "c/proxy_wasm.h"
};

pub(super) const ASSEMBLYSCRIPT: Files = sdk! {
    "NAME/package.json" = "assemblyscript/template/package.json"
    "NAME/asconfig.json" = "assemblyscript/template/asconfig.json"
    "NAME/assembly/tsconfig.json" = "assemblyscript/template/assembly/tsconfig.json"
    "NAME/assembly/index.ts" = "assemblyscript/template/assembly/index.ts"
    "NAME/build" = "assemblyscript/template/build"
};

pub(super) const ASSEMBLYSCRIPT_SDK: Files = sdk! {
    "NAME/assembly/abi.ts" = "assemblyscript/abi.ts"
    "NAME/assembly/callbacks.ts" = "assemblyscript/callbacks.ts"
    "NAME/assembly/proxy.ts" = "assemblyscript/proxy.ts"
};
