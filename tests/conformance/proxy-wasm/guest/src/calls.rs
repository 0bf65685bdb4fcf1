//! Host calls by name.

use crate::script::Token;

macro_rules! imports {
    ($($name:ident ($($ty:ty),*);)*) => {
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(#[link_name = concat!("proxy_", stringify!($name))]
            unsafe fn $name($(_: $ty),*) -> u32;)*
        }
    };
}

imports! {
    log(u32, u32, u32);
    get_log_level(u32);
    get_current_time_nanoseconds(u32);
    set_tick_period_milliseconds(u32);
    get_buffer_bytes(u32, u32, u32, u32, u32);
    get_buffer_status(u32, u32, u32);
    set_buffer_bytes(u32, u32, u32, u32, u32);
    get_header_map_size(u32, u32);
    get_header_map_pairs(u32, u32, u32);
    set_header_map_pairs(u32, u32, u32);
    get_header_map_value(u32, u32, u32, u32, u32);
    add_header_map_value(u32, u32, u32, u32, u32);
    replace_header_map_value(u32, u32, u32, u32, u32);
    remove_header_map_value(u32, u32, u32);
    continue_stream(u32);
    close_stream(u32);
    get_status(u32, u32, u32);
    send_local_response(u32, u32, u32, u32, u32, u32, u32, u32);
    http_call(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
    grpc_call(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
    grpc_stream(u32, u32, u32, u32, u32, u32, u32, u32, u32);
    grpc_send(u32, u32, u32, u32);
    grpc_cancel(u32);
    grpc_close(u32);
    set_shared_data(u32, u32, u32, u32, u32);
    get_shared_data(u32, u32, u32, u32, u32);
    register_shared_queue(u32, u32, u32);
    resolve_shared_queue(u32, u32, u32, u32, u32);
    enqueue_shared_queue(u32, u32, u32);
    dequeue_shared_queue(u32, u32, u32);
    define_metric(u32, u32, u32, u32);
    record_metric(u32, u64);
    increment_metric(u32, i64);
    get_metric(u32, u32);
    get_property(u32, u32, u32, u32);
    set_property(u32, u32, u32, u32);
    call_foreign_function(u32, u32, u32, u32, u32, u32);
    done();
    set_effective_context(u32);
}

/// Name, what it takes, where it is. `i`: a number; `s`: bytes, as place and length; `b`: place and
/// length of where the place and the length of bytes go; `n`: where a number goes; `q`: a long one;
/// `l`: a long number.
type Row = (&'static str, &'static str, usize);

macro_rules! rows {
    ($($name:ident $takes:literal)*) => {
        [$((stringify!($name), $takes, $name as *const () as usize)),*]
    };
}

fn rows() -> [Row; 39] {
    rows! {
        log "is" get_log_level "n" get_current_time_nanoseconds "q" set_tick_period_milliseconds "i"
        get_buffer_bytes "iiib" get_buffer_status "inn" set_buffer_bytes "iiis"
        get_header_map_size "in" get_header_map_pairs "ib" set_header_map_pairs "is"
        get_header_map_value "isb" add_header_map_value "iss" replace_header_map_value "iss"
        remove_header_map_value "is" continue_stream "i" close_stream "i" get_status "nb"
        send_local_response "isssi" http_call "ssssin" grpc_call "sssssin" grpc_stream "ssssn"
        grpc_send "isi" grpc_cancel "i" grpc_close "i" set_shared_data "ssi" get_shared_data "sbn"
        register_shared_queue "sn" resolve_shared_queue "ssn" enqueue_shared_queue "is"
        dequeue_shared_queue "ib" define_metric "isn" record_metric "il" increment_metric "il"
        get_metric "iq" get_property "sb" set_property "ss" call_foreign_function "ssb" done ""
        set_effective_context "i"
    }
}

const STATUS: [&str; 13] = [
    "OK",
    "NOT_FOUND",
    "BAD_ARGUMENT",
    "SERIALIZATION_FAILURE",
    "PARSE_FAILURE",
    "5",
    "INVALID_MEMORY_ACCESS",
    "EMPTY",
    "CAS_MISMATCH",
    "9",
    "INTERNAL_FAILURE",
    "11",
    "UNIMPLEMENTED",
];

/// What calls have given: `$n`, `$b`, and what `keep` put aside.
#[derive(Default)]
pub struct Values {
    number: u64,
    bytes: Vec<u8>,
    kept: Vec<(String, u64)>,
}

/// Logs a line.
pub fn say(text: &str) {
    // SAFETY: a host call with a string of ours.
    unsafe { log(2, text.as_ptr() as u32, text.len() as u32) };
}

/// The plugin's configuration.
pub fn configuration(size: u32) -> String {
    let mut out = [0_u32; 2];
    let place = out.as_mut_ptr() as u32;
    // SAFETY: the host writes two numbers where there is room for them.
    unsafe { get_buffer_bytes(7, 0, size, place, place + 4) };
    String::from_utf8_lossy(&taken(out)).into_owned()
}

/// Bytes that the host has put into memory of ours.
fn taken([place, length]: [u32; 2]) -> Vec<u8> {
    if place == 0 || length == 0 {
        return Vec::new();
    }
    // SAFETY: `proxy_on_memory_allocate` made it, with this capacity.
    unsafe { Vec::from_raw_parts(place as *mut u8, length as usize, length as usize) }
}

/// Calls `name` and logs what came of it. `contexts`: the callback's, and the last stream's.
pub fn call(name: &str, tokens: &[Token], quiet: bool, values: &mut Values, contexts: [u32; 2]) {
    if name == "keep" {
        if let Some(Token::Name(name)) = tokens.first() {
            values.kept.retain(|(known, _)| known != name);
            values.kept.push((name.clone(), values.number));
        }
        return;
    }
    // `raw NAME N...`: numbers as they are, wherever they point.
    let (name, raw, tokens) = match (name, tokens) {
        ("raw", [Token::Name(name), rest @ ..]) => (name.as_str(), true, rest),
        _ => (name, false, tokens),
    };
    let rows = rows();
    let Some((_, takes, function)) = rows.iter().find(|(known, ..)| *known == name) else {
        return say(&format!("{name}: no such call"));
    };
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut out = Box::new([0_u32; 8]);
    let outs = out.as_mut_ptr() as u32;
    let (mut used, mut arguments, mut long) = (0, Vec::new(), 0_u64);
    let mut tokens = tokens.iter();
    let mut next = || tokens.next();
    if raw {
        while let Some(token) = next() {
            arguments.push(number(token, values, contexts) as u32);
        }
    } else {
        for kind in takes.chars() {
            match kind {
                'i' => arguments.push(next().map_or(0, |t| number(t, values, contexts)) as u32),
                'l' => long = next().map_or(0, |t| number(t, values, contexts)),
                's' => {
                    let bytes = next().map_or_else(Vec::new, |token| bytes(token, values));
                    arguments.extend([bytes.as_ptr() as u32, bytes.len() as u32]);
                    texts.push(bytes);
                }
                'b' => {
                    arguments.extend([outs, outs + 4]);
                    used = used.max(2);
                }
                _ => {
                    // Behind the two of `b`.
                    let place = used.max(2);
                    arguments.push(outs + 4 * place);
                    used = place + 2;
                }
            }
        }
    }
    // SAFETY: the imports above have these types.
    let status = unsafe { dispatch(*function, takes, &arguments, long) };
    let shown = STATUS.get(status as usize).map_or_else(|| status.to_string(), |s| s.to_string());
    let mut line = format!("{name} {shown}");
    if status == 0 && !raw {
        let number = u64::from(out[2]) | u64::from(out[3]) << 32;
        if takes.contains('b') {
            values.bytes = taken([out[0], out[1]]);
            line += &match name {
                "get_header_map_pairs" => format!(" {}", map(&values.bytes)),
                _ => format!(" \"{}\"", values.bytes.escape_ascii()),
            };
        }
        if takes.contains(['n', 'q']) {
            values.number = if takes.contains('q') { number } else { u64::from(out[2]) };
            let silent = [
                "get_current_time_nanoseconds",
                "http_call",
                "define_metric",
                "register_shared_queue",
                "resolve_shared_queue",
                "get_shared_data",
                "grpc_call",
                "grpc_stream",
            ];
            if !silent.contains(&name) {
                line += &format!(" {}", values.number);
            }
        }
    }
    if !quiet {
        say(&line);
    }
}

fn number(token: &Token, values: &Values, contexts: [u32; 2]) -> u64 {
    match token {
        Token::Number(number) => *number as u64,
        Token::Name(name) => match name.as_str() {
            "$n" => values.number,
            "$context" => contexts[0].into(),
            "$stream" => contexts[1].into(),
            name => {
                let kept = values.kept.iter().find(|(known, _)| known.as_str() == &name[1..]);
                kept.map_or(0, |(_, number)| *number)
            }
        },
        _ => 0,
    }
}

fn bytes(token: &Token, values: &Values) -> Vec<u8> {
    match token {
        Token::Text(text) => text.clone(),
        Token::Number(_) => Vec::new(),
        Token::Name(_) => values.bytes.clone(),
        Token::Map(pairs) if pairs.is_empty() => Vec::new(),
        Token::Map(pairs) => {
            let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
            for (key, value) in pairs {
                out.extend((key.len() as u32).to_le_bytes());
                out.extend((value.len() as u32).to_le_bytes());
            }
            for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
                out.extend(part);
                out.push(0);
            }
            out
        }
    }
}

/// A header map as the script would write it.
fn map(blob: &[u8]) -> String {
    let number = |at: usize| {
        blob.get(at..at + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().unwrap()) as usize)
    };
    let count = number(0);
    let (mut at, mut parts) = (4 + count * 8, Vec::new());
    for index in 0..count * 2 {
        let length = number(4 + index * 4);
        let part = blob.get(at..at + length).unwrap_or_default();
        parts.push(format!("\"{}\"", part.escape_ascii()));
        at += length + 1;
    }
    format!("[{}]", parts.join(" "))
}

/// # Safety
/// `function` must be an import that takes this many numbers, or one of `takes` with a long one.
unsafe fn dispatch(function: usize, takes: &str, a: &[u32], long: u64) -> u32 {
    macro_rules! call {
        ($($index:literal)*) => {{
            type Function = unsafe extern "C" fn($(call!(@ty $index)),*) -> u32;
            // SAFETY: see above.
            unsafe {
                let function: Function = std::mem::transmute(function);
                function($(a[$index]),*)
            }
        }};
        (@ty $index:literal) => { u32 };
    }
    if takes.ends_with('l') {
        // SAFETY: see above.
        return unsafe {
            let function: unsafe extern "C" fn(u32, u64) -> u32 = std::mem::transmute(function);
            function(a[0], long)
        };
    }
    match a.len() {
        0 => call!(),
        1 => call!(0),
        2 => call!(0 1),
        3 => call!(0 1 2),
        4 => call!(0 1 2 3),
        5 => call!(0 1 2 3 4),
        6 => call!(0 1 2 3 4 5),
        8 => call!(0 1 2 3 4 5 6 7),
        9 => call!(0 1 2 3 4 5 6 7 8),
        10 => call!(0 1 2 3 4 5 6 7 8 9),
        12 => call!(0 1 2 3 4 5 6 7 8 9 10 11),
        _ => 99,
    }
}
