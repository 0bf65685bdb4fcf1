//! One case: what is asked, what is answered, and what differs from what it says.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::case::{Ask, Case, Flow, Message, Reply};
use crate::support::message::{Piece, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Gateway, PATIENCE, Request, Script, Upstream, paced, soon};
use crate::tcp;

fn request(number: usize, ask: &Ask) -> Request {
    let method = ask.method.as_deref().unwrap_or("GET");
    let mut request = Request::new(method, ask.path.as_deref().unwrap_or("/"))
        .host(&format!("case-{number}.example.com"));
    for line in &ask.headers {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.field(name, value);
    }
    request.sized = ask.chunks.len() < 2 && ask.trailers.is_empty();
    for (index, chunk) in ask.chunks.iter().enumerate() {
        if index > 0 {
            // Each comes by itself.
            request.body.push(Piece::Pause(paced(Duration::from_millis(30))));
        }
        request = request.body(chunk.clone());
    }
    request.trailers = ask.trailers.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    request
}

fn script(reply: &Reply) -> Script {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status.unwrap_or(200));
    for line in &reply.headers {
        let _ = write!(head, "{line}\r\n");
    }
    if reply.chunks.len() < 2 && reply.trailers.is_empty() {
        let body = reply.chunks.first().map_or("", |chunk| chunk);
        return Script::raw(format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
    }
    let mut script = Script::raw(format!("{head}transfer-encoding: chunked\r\n\r\n"));
    for chunk in &reply.chunks {
        let text = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        script = script.then(Step::Send(text.into()));
        script = script.then(Step::Pause(Duration::from_millis(30)));
    }
    let mut end = "0\r\n".to_owned();
    for (name, value) in &reply.trailers {
        let _ = write!(end, "{name}: {value}\r\n");
    }
    script.then(Step::Send(format!("{end}\r\n").into()))
}

/// What differs, of a message that came.
fn differs(
    wanted: &Message,
    fields: &[(String, String)],
    body: &[u8],
    trailers: &[(String, String)],
) -> Vec<String> {
    let all = |list: &[(String, String)], name: &str| {
        let named = list.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for (list, wanted) in [(fields, &wanted.headers), (trailers, &wanted.trailers)] {
        for (name, value) in wanted {
            let got = all(list, name).join(", ");
            if got != *value {
                wrong.push(format!("{name}: {got:?}, not {value:?}"));
            }
        }
    }
    for name in &wanted.absent {
        if !all(fields, name).is_empty() {
            wrong.push(format!("{name} is there"));
        }
    }
    let text = String::from_utf8_lossy(body);
    if wanted.body.as_ref().is_some_and(|body| *body != text) {
        wrong.push(format!("the body is {text:?}"));
    }
    wrong
}

/// Lines that the case's filter has written.
fn lines(gateway: &Gateway, number: usize) -> Vec<String> {
    let filter = format!("case-{number}");
    let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).ok();
    let mine =
        |line: &serde_json::Value| line["filter"] == filter.as_str() && line["phase"].is_null();
    let text = |line: serde_json::Value| line["message"].as_str().unwrap_or_default().to_owned();
    gateway.log().iter().filter_map(parse).filter(mine).map(text).collect()
}

/// A connection: what it gets until its end, or that it breaks off.
async fn connect(gateway: &Gateway, at: SocketAddr, flow: &Flow) -> Result<String, ()> {
    let mut stream = tcp::connect(at).await;
    for (index, piece) in flow.sends.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(paced(Duration::from_millis(30))).await;
            // A first connection may take long: its filter is begun with it.
            gateway.rests().await;
        }
        tcp::say(&mut stream, piece).await;
    }
    let mut got = vec![0; flow.waits];
    soon("bytes", stream.read_exact(&mut got)).await.map_err(drop)?;
    if flow.ends {
        tokio::time::sleep(paced(Duration::from_millis(30))).await;
        gateway.rests().await;
        let _ = stream.shutdown().await;
    }
    let rest = tcp::rest(&mut stream).await.map_err(drop)?;
    Ok(String::from_utf8_lossy(&got).into_owned() + &rest)
}

pub async fn walk(
    protocol: Protocol,
    gateway: &Gateway,
    app: &Upstream,
    number: usize,
    case: &Case,
    flow: SocketAddr,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let scripts: Vec<Script> = case.answer.iter().map(script).collect();
    app.reset(if scripts.is_empty() { vec![Script::ok("ok")] } else { scripts });
    let before = app.count();
    for told in &case.flow {
        let got = connect(gateway, flow, told).await;
        let wanted = if told.broken { Err(()) } else { Ok(told.gets.clone()) };
        if got != wanted {
            wrong.push(format!("the client got {got:?}"));
        }
    }
    let none = if case.flow.is_empty() { vec![Ask::default()] } else { Vec::new() };
    for ask_for in if case.ask.is_empty() { &none[..] } else { &case.ask } {
        let answer = ask(protocol, gateway, &request(number, ask_for)).await;
        let wanted = &ask_for.gets;
        let broken = answer.broken.is_some() || answer.status == 0;
        if broken != ask_for.broken {
            wrong.push(format!("the answer is {answer}"));
        } else if !broken && answer.status != wanted.status.unwrap_or(200) {
            wrong.push(format!("the status is {}", answer.status));
        }
        wrong.extend(differs(wanted, &answer.fields, &answer.body, &answer.trailers));
    }
    if case.unseen && app.count() > before {
        wrong.push("the upstream was asked".into());
    }
    if let Some(wanted) = &case.sees {
        match app.requests().get(before) {
            None => wrong.push("the upstream was not asked".into()),
            Some(seen) => {
                let line = seen.line.strip_suffix(" HTTP/1.1").unwrap_or_default();
                let (method, path) = line.split_once(' ').unwrap_or_default();
                let wants =
                    |wanted: &Option<String>, got| wanted.as_ref().is_some_and(|w| w != got);
                if wants(&wanted.method, method) || wants(&wanted.path, path) {
                    wrong.push(format!("the upstream saw {line}"));
                }
                let found = differs(wanted, &seen.fields, &seen.body, &seen.trailers);
                wrong.extend(found.iter().map(|text| format!("the upstream saw {text}")));
            }
        }
    }
    if let Some(wanted) = &case.log {
        // Some lines come after the answer.
        let late = Instant::now() + *PATIENCE / 4;
        while lines(gateway, number).len() < wanted.len() && Instant::now() < late {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let got = lines(gateway, number);
        let same = |(wanted, got): (&String, &String)| match wanted.strip_suffix('~') {
            Some(begins) => got.starts_with(begins),
            None => wanted == got,
        };
        let fits = match case.loose {
            true => wanted.iter().all(|line| got.iter().any(|other| same((line, other)))),
            false => got.len() == wanted.len() && wanted.iter().zip(&got).all(same),
        };
        if !fits {
            wrong.push(format!("it logged\n    {}", got.join("\n    ")));
        }
    }
    for text in &case.elsewhere {
        let message = format!("\"message\":{}", serde_json::to_string(text).unwrap());
        if let Err(seen) = gateway.logged(&[&message]).await {
            wrong.push(format!("nobody logged {text}: {seen}"));
        }
    }
    let filter = format!("\"case-{number}\"");
    for text in &case.host_log {
        if let Err(seen) = gateway.logged(&[text, &filter]).await {
            wrong.push(format!("the log lacks {text}: {seen}"));
        }
    }
    if let Some(wanted) = case.lines
        && lines(gateway, number).len() != wanted
    {
        wrong.push(format!("it wrote {} lines", lines(gateway, number).len()));
    }
    if !case.metrics.is_empty() {
        let page = metrics(gateway).await;
        let absent = case.metrics.iter().filter(|line| !page.lines().any(|l| l == line.as_str()));
        wrong.extend(absent.map(|line| format!("/metrics lacks {line}")));
    }
    wrong
}

async fn metrics(gateway: &Gateway) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = gateway.folder.path().join("admin.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}
