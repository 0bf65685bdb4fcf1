//! `[redis]`.

use super::filter::{in_order, sorted};
use super::{address, row};
use crate::manifest::Redis;
use crate::place::Place;
use crate::raw::{self, At, Named};
use crate::report::Problem;
use crate::typed::{Refusal, Scene};

pub(super) fn redis(raw: Option<At<Named<raw::Redis>>>, scene: &mut Scene<'_>) -> Vec<Redis> {
    let mut all = Vec::new();
    for (name, table) in sorted(raw) {
        scene.name(&name, "redis server");
        all.extend(server(&name, &table, scene));
    }
    all
}

fn server(name: &At<String>, table: &At<raw::Redis>, scene: &mut Scene<'_>) -> Option<Redis> {
    let none = (raw::RedisPool::default(), raw::RedisTimeouts::default());
    let pool = table.pool.as_ref().map_or(&none.0, |pool| &pool.value);
    let timeouts = table.timeouts.as_ref().map_or(&none.1, |timeouts| &timeouts.value);
    let idle = scene.time(pool.idle.as_ref(), &row::POOL_IDLE);
    let size = scene.usize(pool.size.as_ref(), &row::REDIS_POOL);
    let connect = scene.time(timeouts.connect.as_ref(), &row::REDIS_CONNECT);
    let reply = scene.time(timeouts.reply.as_ref(), &row::REDIS_REPLY);
    let database = table.database.as_ref();
    let number = database.map(|number| scene.whole(Some(number), &row::DATABASE));
    let ca = table.ca.as_ref().map(|ca| scene.file(ca, "the authorities"));
    let typed = table.url.as_ref()?;
    let url = scene.accept(&typed.place, parse(typed, scene))?;
    if let Some(ca) = table.ca.as_ref().filter(|_| !url.at.tls) {
        scene.warning(&ca.key, "ca has no meaning without rediss://");
    }
    let mut once = |in_url: bool, key: Option<&Place>| {
        if let Some(key) = key.filter(|_| in_url) {
            let (first, second) = in_order(&typed.key, key);
            let problem = Problem::error(second, "the url says this, too");
            scene.report.push(problem.also("the first one is here", first));
        }
    };
    once(url.user.is_some(), table.user.as_ref().map(|at| &at.key));
    once(url.password.is_some(), table.password.as_ref().map(|at| &at.key));
    once(url.database.is_some(), database.map(|at| &at.key));
    let own = |text: &Option<At<String>>| text.as_ref().map(|text| text.value.clone());
    let number = url.database.map(u64::from).or(number).unwrap_or(0);
    Some(Redis {
        name: name.as_str().into(),
        place: table.place.clone(),
        host: url.at.host,
        port: url.at.port,
        unix: url.at.unix,
        tls: url.at.tls,
        ca,
        user: url.user.or_else(|| own(&table.user)),
        password: url.password.or_else(|| own(&table.password)),
        database: u32::try_from(number).unwrap_or(u32::MAX),
        idle,
        pool: size,
        connect,
        reply,
    })
}

/// What a URL says.
struct Url {
    at: address::Url,
    user: Option<String>,
    password: Option<String>,
    database: Option<u32>,
}

/// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, `rediss://...`, `unix:PATH`. It may hold a
/// password: messages do not show it.
fn parse(text: &str, scene: &Scene<'_>) -> Result<Url, Refusal> {
    const PORT: u16 = 6379;
    const FORM: &str = "such as \"redis://127.0.0.1:6379\", \"rediss://...\" or \"unix:PATH\"";
    if let Some(path) = text.strip_prefix("unix:") {
        let at = address::Url::unix(path, scene)?;
        return Ok(Url { at, user: None, password: None, database: None });
    }
    let refuse = || Refusal::new("this is not the URL of a Redis server", FORM);
    let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return Err(refuse()),
    };
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, "")) => (authority, None),
        Some((authority, number)) => {
            let number = number.parse().map_err(|_| {
                Refusal::new("behind the port stands the number of a database", FORM)
            })?;
            (authority, Some(number))
        }
        None => (rest, None),
    };
    let (host, port) = address::authority(authority, Some(PORT)).map_err(|hint| {
        Refusal::new("this is not the URL of a Redis server", hint.unwrap_or(FORM))
    })?;
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (None, None),
    };
    Ok(Url {
        at: address::Url { http: None, tls, host, port, unix: None },
        user,
        password,
        database,
    })
}

/// Percent-escapes taken away; nothing is `None`.
fn decoded(text: &str) -> Result<Option<String>, Refusal> {
    let refuse = || {
        let hint = "`%` is written %25; or use the keys `user` and `password`";
        Refusal::new("a broken percent-escape in user or password", hint)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let hex = [*high, *low];
                let hex = std::str::from_utf8(&hex).ok().filter(|hex| !hex.starts_with('+'));
                let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                (byte.ok_or_else(refuse)?, behind)
            }
            (b'%', _) => return Err(refuse()),
            plain => plain,
        };
        bytes.push(byte);
        rest = behind;
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse())?;
    Ok((!text.is_empty()).then_some(text))
}
