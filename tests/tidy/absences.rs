//! What never happens, by a scan of the sources.

use super::tree::{code, is_in, lines_with, none, sources};

/// Words that must not stand in the code of some folders.
struct Absence {
    what: &'static str,
    below: &'static [&'static str],
    words: &'static [&'static str],
    /// Files (or folders, with a slash) that may, and why.
    except: &'static [(&'static str, &'static str)],
}

/// Everything under floor 3.
const LOW: &[&str] = &[
    "sdk",
    "runtime/filter",
    "runtime/config",
    "runtime/core",
    "runtime/import",
    "edge-deploy/fleet",
    "edge-deploy/agent",
    "runtime/lua",
    "runtime/wasm",
];
const ALL: &[&str] = &["sdk", "runtime", "edge-deploy"];

const ABSENCES: &[Absence] = &[
    Absence {
        what: "one file reads the clock",
        below: ALL,
        words: &["Instant::now", "SystemTime::now", "clock_gettime", "gettimeofday"],
        except: &[
            ("runtime/server/src/clock.rs", "the clock"),
            ("edge-deploy/cli/src/clock.rs", "the fleet's clock"),
            ("runtime/lua/src/watchdog.rs", "CPU time of the thread that is watched"),
            ("runtime/wasm/src/host.rs", "CPU time of a call"),
        ],
    },
    Absence {
        what: "one file draws randomness",
        below: ALL,
        words: &["getrandom", "thread_rng", "rand::", "SystemRandom"],
        except: &[
            ("runtime/server/src/clock.rs", "the kernel's randomness"),
            ("edge-deploy/cli/src/keys.rs", "new keys"),
            ("edge-deploy/controller/src/serve.rs", "new tokens"),
            ("runtime/lua/src/crypto/sign.rs", "ring signs with randomness of its own type only"),
            (
                "runtime/wasm/src/proxy_wasm/foreign/signature.rs",
                "ring signs with randomness of its own type only",
            ),
        ],
    },
    Absence {
        what: "no sockets and no event loop below floor 3",
        below: LOW,
        words: &[
            "tokio",
            "socket2",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "ToSocketAddrs",
            "libc::socket",
            "libc::connect",
        ],
        except: &[],
    },
    Absence {
        what: "no files below floor 3, but for what a generation is loaded from",
        below: LOW,
        words: &["fs::", "File::", "OpenOptions", "libc::open"],
        except: &[
            ("runtime/config/src/disk.rs", "the manifest and what it includes"),
            ("runtime/lua/src/engine.rs", "scripts, when they are loaded"),
            ("runtime/lua/src/calls/script.rs", "what `require` finds on the manifest's path"),
            ("runtime/wasm/src/source.rs", "modules, when they are loaded"),
            ("runtime/wasm/src/compile.rs", "what the compiler's process hands over"),
            ("runtime/lua/src/known.rs", "whether modules are as they were"),
            ("runtime/wasm/src/cache.rs", "compiled modules"),
            ("runtime/wasm/src/engine.rs", "files of the cache that are held open"),
            (
                "runtime/wasm/src/proxy_wasm/origin.rs",
                "the process's own pages, which are no files",
            ),
            ("runtime/wasm/src/workshop.rs", "the same, until they are mapped"),
            ("runtime/wasm/src/ledger.rs", "which of them are known by their state"),
            ("runtime/wasm/src/code.rs", "the same, mapped"),
        ],
    },
    Absence {
        what: "the environment is read where a manifest is loaded and at the door",
        below: ALL,
        words: &["env::var", "env::vars", "env::var_os", "env::vars_os"],
        except: &[
            ("runtime/pilotlight/src/", "the door"),
            ("edge-deploy/cli/src/", "the fleet's door"),
            ("runtime/server/src/load/plan.rs", "what `[gateway] env` lets scripts see"),
            ("runtime/server/src/listener/sockets.rs", "sockets of a service manager"),
            ("runtime/server/src/notify.rs", "the service manager's mailbox"),
            ("runtime/server/src/apps/process.rs", "what applications inherit"),
        ],
    },
    Absence {
        what: "past codec/ nobody decides by the HTTP version",
        below: &["sdk", "runtime"],
        words: &["Version::"],
        except: &[
            ("runtime/server/src/codec/", "the codecs"),
            ("runtime/server/src/upstream/h1.rs", "the codec of the other side"),
            ("runtime/server/src/metrics.rs", "a label"),
            ("runtime/wasm/src/proxy_wasm/properties.rs", "the property request.protocol"),
            ("runtime/filter/src/head.rs", "where it is defined"),
            ("runtime/testing/src/request.rs", "the version that a test says"),
        ],
    },
    Absence {
        what: "only codec/h3, quic and tls name quinn",
        below: ALL,
        words: &["quinn", "quinn_proto"],
        except: &[
            ("runtime/server/src/codec/h3.rs", "HTTP/3"),
            ("runtime/server/src/codec/h3/", "HTTP/3"),
            ("runtime/server/src/quic.rs", "QUIC"),
            ("runtime/server/src/quic/", "QUIC"),
            ("runtime/server/src/tls.rs", "certificates of QUIC"),
        ],
    },
    Absence {
        what: "the server names no engine",
        below: &["runtime/server", "runtime/core", "runtime/filter", "sdk/abi"],
        words: &["lua", "Lua", "wasm", "Wasm", "mlua", "wasmtime", "luajit"],
        except: &[("runtime/server/src/load/plan.rs", "the manifest's kinds, as data")],
    },
    Absence {
        what: "engines do not name each other",
        below: &["runtime/lua"],
        words: &["wasm", "Wasm", "wasmtime", "proxy_wasm"],
        except: &[],
    },
    Absence {
        what: "engines do not name each other",
        below: &["runtime/wasm"],
        words: &["lua", "Lua", "mlua", "mlua_sys", "luajit"],
        except: &[],
    },
    Absence {
        what: "only raw, resolve and the loaders refuse a manifest",
        below: ALL,
        words: &["Problem::error"],
        except: &[
            ("runtime/config/src/resolve.rs", "what it means"),
            ("runtime/config/src/resolve/", "what it means"),
            ("runtime/config/src/typed.rs", "its text: TOML"),
            ("runtime/config/src/typed/read.rs", "its form: unknown keys, types, places"),
            ("runtime/config/src/typed/scene.rs", "what all who judge a manifest share"),
            ("runtime/config/src/load.rs", "its text: files, includes"),
            ("runtime/config/src/flags.rs", "flags instead of it"),
            ("runtime/config/src/report.rs", "where problems are defined"),
            ("runtime/server/src/load.rs", "what engines and TLS say of the files it names"),
        ],
    },
    Absence {
        what: "only answer writes a response of the gateway's own",
        below: &["runtime/server", "runtime/core", "runtime/lua", "runtime/wasm"],
        words: &["Origin::Gateway"],
        except: &[
            ("runtime/server/src/answer.rs", "the author"),
            (
                "runtime/server/src/drive/turn.rs",
                "no response: what the log says when a client left",
            ),
        ],
    },
    Absence {
        what: "no worker sleeps",
        below: ALL,
        words: &["thread::sleep", "sleep_ms"],
        except: &[],
    },
    Absence {
        what: "every queue has a bound",
        below: ALL,
        words: &["unbounded_channel", "mpsc::channel()", "UnboundedSender"],
        except: &[],
    },
    Absence {
        what: "nothing is left for later",
        below: &["sdk", "runtime", "edge-deploy", "examples"],
        words: &["todo!", "unimplemented!", "dbg!"],
        except: &[],
    },
];

#[test]
fn what_never_happens() {
    let mut complaints = Vec::new();
    for absence in ABSENCES {
        let mut used = vec![false; absence.except.len()];
        for file in sources(absence.below) {
            let code = code(&file.text);
            let allowed = absence.except.iter().position(|(place, _)| is_in(&file.path, place));
            for word in absence.words {
                for line in lines_with(&code, word) {
                    match allowed {
                        Some(row) => used[row] = true,
                        None => complaints
                            .push(format!("{}:{line}: `{word}`: {}", file.path, absence.what)),
                    }
                }
            }
        }
        for ((place, _), _) in absence.except.iter().zip(&used).filter(|(_, used)| !**used) {
            complaints.push(format!("{place} needs no exception any more: {}", absence.what));
        }
    }
    none(&complaints);
}
