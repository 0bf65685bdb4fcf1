//! Compiles the prelude to bytecode, so that no gateway parses it when it starts.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a build that can't go on ends"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;
use pilotlight_luajit as lua;

/// Where the prelude's files are; its folders hold the parts that run when they are asked for.
const PRELUDE: &str = "src/prelude";

/// What Rust can't say: `sigsetjmp` returns twice.
const LEAVE: &str = "src/leave.c";

/// Constants in a fixed order, so that builds repeat byte for byte. The parts go without lines and names
/// of locals, which only mistakes of our own would show; the rest keeps them, for traces.
const DUMP: &CStr =
    c"local source, name, how = ... return string.dump(assert(loadstring(source, name)), how)";

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={PRELUDE}");
    println!("cargo::rerun-if-changed={LEAVE}");
    cc::Build::new().file(LEAVE).compile("pilotlight_leave");
    let mut names = Vec::new();
    find(Path::new(PRELUDE), "", &mut names);
    names.sort();
    let (mut files, mut folders) = (String::new(), BTreeMap::<String, Vec<u8>>::new());
    for name in names {
        let source = fs::read(format!("{PRELUDE}/{name}.lua")).expect("a file of the prelude");
        let code = if loads_our_bytecode() { compile(&name, &source) } else { source };
        let place = match name.split_once('/') {
            None => {
                let file = out.join(format!("{name}.luac"));
                fs::write(&file, code).expect("room for the output");
                format!("Place::Plain(include_bytes!({file:?}))")
            }
            // The parts, which few gateways need, are kept small: those of a folder are alike.
            Some((folder, _)) => {
                let whole = folders.entry(folder.to_owned()).or_default();
                let from = whole.len();
                whole.extend_from_slice(&code);
                format!("Place::Packed({folder:?}, {from}, {})", whole.len())
            }
        };
        files.push_str(&format!("({name:?}, {place}),\n"));
    }
    let mut packs = String::new();
    for (folder, whole) in folders {
        let file = out.join(format!("{folder}.pack"));
        fs::write(&file, compress_to_vec(&whole, 9)).expect("room for the output");
        packs.push_str(&format!("({folder:?}, include_bytes!({file:?}) as &[u8]),\n"));
    }
    fs::write(out.join("prelude.rs"), format!("[\n{files}]")).expect("room for the output");
    fs::write(out.join("packs.rs"), format!("[\n{packs}]")).expect("room for the output");
}

/// The names of all files below a folder: "core", "ngx/re".
fn find(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the prelude") {
        let path = entry.expect("a file of the prelude").path();
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        match path.is_dir() {
            true => find(&path, &format!("{prefix}{stem}/"), names),
            false => names.push(format!("{prefix}{stem}")),
        }
    }
}

/// Bytecode differs by byte order and by the size of pointers; where they are not the builder's,
/// the prelude stays text.
fn loads_our_bytecode() -> bool {
    let target = |fact: &str| env::var(format!("CARGO_CFG_TARGET_{fact}")).expect("cargo sets it");
    let order = if cfg!(target_endian = "big") { "big" } else { "little" };
    target("ENDIAN") == order && target("POINTER_WIDTH") == usize::BITS.to_string()
}

fn compile(name: &str, source: &[u8]) -> Vec<u8> {
    let chunk = CString::new(format!("=pilotlight:{name}")).expect("no zero in it");
    // SAFETY: one state, one thread; what is pushed is popped by the call, and its result is
    // copied before the state goes.
    unsafe {
        let state = lua::luaL_newstate();
        lua::luaL_openlibs(state);
        assert_eq!(lua::luaL_loadstring(state, DUMP.as_ptr()), lua::LUA_OK);
        lua::lua_pushlstring_(state, source.as_ptr().cast(), source.len());
        lua::lua_pushstring_(state, chunk.as_ptr());
        lua::lua_pushstring_(state, if name.contains('/') { c"sd" } else { c"d" }.as_ptr());
        let status = lua::lua_pcall(state, 3, 1, 0);
        let mut len = 0;
        let bytes = lua::lua_tolstring(state, -1, &raw mut len).cast::<u8>();
        let result = std::slice::from_raw_parts(bytes, len).to_vec();
        lua::lua_close(state);
        assert_eq!(status, lua::LUA_OK, "{}", String::from_utf8_lossy(&result));
        result
    }
}
