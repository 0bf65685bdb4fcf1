//! Tables and statements, the same for all stores that speak SQL.
//!
//! Bodies are JSON: what a newer controller adds an older one passes over. Every query gives one column of text.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Audit, Entry, Error, Saved, Snapshot, Write};

/// All tables, one statement each.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS nodes (id TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS releases (digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rollouts (id BIGINT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS journal (rollout BIGINT NOT NULL, seq BIGINT NOT NULL, \
     body TEXT NOT NULL, PRIMARY KEY (rollout, seq))",
    "CREATE TABLE IF NOT EXISTS snapshots (rollout BIGINT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS forgotten (rollout BIGINT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS tokens (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS audit (seq BIGINT PRIMARY KEY, body TEXT NOT NULL)",
];

/// The form of what is written.
const SCHEMA: i64 = 1;
const META: &str =
    "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";

/// A value of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Number(i64),
    Text(String),
}

impl From<u64> for Cell {
    /// SQL's whole numbers have a sign.
    fn from(number: u64) -> Cell {
        Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.into())
    }
}

/// A statement with its values.
pub(super) type Statement = (&'static str, Vec<Cell>);

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error(format!("a row cannot be read: {error}"))
    }
}

fn json(row: &impl Serialize) -> Result<Cell, Error> {
    Ok(Cell::Text(serde_json::to_string(row)?))
}

/// What writes it.
pub(super) fn statement(write: &Write) -> Result<Statement, Error> {
    Ok(match write {
        Write::Node(record) => (
            "INSERT INTO nodes VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body",
            vec![record.node.id.as_str().into(), json(record)?],
        ),
        Write::Release(digest, release) => (
            "INSERT INTO releases VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
            vec![digest.as_str().into(), json(&(digest, release))?],
        ),
        Write::Rollout(begun) => {
            ("INSERT INTO rollouts VALUES ($1, $2)", vec![begun.id.into(), json(begun)?])
        }
        Write::Entry(entry) => (
            "INSERT INTO journal VALUES ($1, $2, $3)",
            vec![entry.rollout.into(), entry.seq.into(), json(entry)?],
        ),
        Write::Snapshot(snapshot) => (
            "INSERT INTO snapshots VALUES ($1, $2) ON CONFLICT (rollout) DO UPDATE SET body = EXCLUDED.body",
            vec![snapshot.rollout.into(), json(snapshot)?],
        ),
        Write::Trim(rollout, seq) => (
            "DELETE FROM journal WHERE rollout = $1 AND seq <= $2",
            vec![(*rollout).into(), (*seq).into()],
        ),
        Write::Forget(rollout) => (
            "INSERT INTO forgotten VALUES ($1) ON CONFLICT (rollout) DO NOTHING",
            vec![(*rollout).into()],
        ),
        Write::Token(token) => (
            "INSERT INTO tokens VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = EXCLUDED.body",
            vec![token.name.as_str().into(), json(token)?],
        ),
        Write::Revoke(name) => ("DELETE FROM tokens WHERE name = $1", vec![name.as_str().into()]),
        Write::Audit(line) => {
            ("INSERT INTO audit VALUES ($1, $2)", vec![line.seq.into(), json(line)?])
        }
        Write::Steady(steady) => (META, vec!["steady".into(), (*steady).into()]),
    })
}

/// Asks for a column of text.
pub(super) type Ask<'a> = &'a mut dyn FnMut(&str, &[Cell]) -> Result<Vec<String>, Error>;

fn rows<T: DeserializeOwned>(ask: Ask<'_>, query: &str, with: &[Cell]) -> Result<Vec<T>, Error> {
    ask(query, with)?.iter().map(|body| Ok(serde_json::from_str(body)?)).collect()
}

fn number(ask: Ask<'_>, name: &str) -> Result<Option<i64>, Error> {
    rows(ask, "SELECT CAST(value AS TEXT) FROM meta WHERE name = $1", &[name.into()])
        .map(|found| found.into_iter().next())
}

/// Whether it has the form that is written here; what is to be written if it is new.
pub(super) fn form(ask: Ask<'_>) -> Result<Option<Statement>, Error> {
    match number(ask, "schema")? {
        None => Ok(Some((META, vec!["schema".into(), Cell::Number(SCHEMA)]))),
        Some(SCHEMA) => Ok(None),
        Some(other) => Err(Error(format!("it has form {other}, this controller writes {SCHEMA}"))),
    }
}

pub(super) fn load(ask: Ask<'_>) -> Result<Saved, Error> {
    let steady = number(ask, "steady")?.unwrap_or(0);
    let last: Vec<Audit> = rows(ask, "SELECT body FROM audit ORDER BY seq DESC LIMIT 1", &[])?;
    Ok(Saved {
        steady: u64::try_from(steady).unwrap_or(0),
        audit: last.into_iter().next(),
        nodes: rows(ask, "SELECT body FROM nodes ORDER BY id", &[])?,
        releases: rows(ask, "SELECT body FROM releases ORDER BY digest", &[])?,
        rollouts: rows(
            ask,
            "SELECT body FROM rollouts WHERE id NOT IN (SELECT rollout FROM forgotten) ORDER BY id",
            &[],
        )?,
        tokens: rows(ask, "SELECT body FROM tokens ORDER BY name", &[])?,
    })
}

pub(super) fn snapshot(ask: Ask<'_>, rollout: u64) -> Result<Option<Snapshot>, Error> {
    let query = "SELECT body FROM snapshots WHERE rollout = $1";
    rows(ask, query, &[rollout.into()]).map(|found| found.into_iter().next())
}

pub(super) fn journal(ask: Ask<'_>, rollout: u64) -> Result<Vec<Entry>, Error> {
    let query = "SELECT body FROM journal WHERE rollout = $1 ORDER BY seq";
    rows(ask, query, &[rollout.into()])
}

pub(super) fn audit(ask: Ask<'_>, after: u64, most: usize) -> Result<Vec<Audit>, Error> {
    let query = "SELECT body FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
    rows(ask, query, &[after.into(), (most as u64).into()])
}
