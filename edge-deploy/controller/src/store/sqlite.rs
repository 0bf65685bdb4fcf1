//! A file of SQLite, with a log written ahead: one sync for a batch, however many rows.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Params, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Audit, Begun, Entry, Error, Record, Saved, Store, Token, Write};

/// What is kept in a file.
pub struct Sqlite(Connection);

/// Bodies are JSON: what a newer controller adds an older one passes over.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS nodes (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS releases (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS rollouts (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS journal (rollout INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (rollout, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tokens (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);
";
/// The form of what is written.
const SCHEMA: i64 = 1;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error(format!("a row cannot be read: {error}"))
    }
}

impl Sqlite {
    /// Opens a file, or makes it; nobody else may have it open to write.
    pub fn open(path: &Path) -> Result<Sqlite, Error> {
        let connection = Connection::open(path)?;
        // The lock is held until the end, so that two controllers do not share a file.
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        )?;
        connection.execute_batch(TABLES)?;
        let mut store = Sqlite(connection);
        match store.number("schema")? {
            None => {
                store.0.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA]).map(drop)?
            }
            Some(SCHEMA) => {}
            Some(other) => return Err(Error(format!("{} has form {other}", path.display()))),
        }
        Ok(store)
    }

    fn number(&mut self, name: &str) -> Result<Option<i64>, Error> {
        let mut query = self.0.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    fn rows<T: DeserializeOwned>(&self, query: &str, with: impl Params) -> Result<Vec<T>, Error> {
        let mut query = self.0.prepare_cached(query)?;
        let mut rows = query.query(with)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(serde_json::from_str(row.get_ref(0)?.as_str().unwrap_or_default())?);
        }
        Ok(found)
    }
}

/// SQLite's whole numbers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Saved, Error> {
        let steady = self.number("steady")?.unwrap_or(0);
        let mut releases = Vec::new();
        let mut query = self.0.prepare("SELECT digest, body FROM releases ORDER BY digest")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let digest: String = row.get(0)?;
            let digest = digest.try_into().map_err(|why: &str| Error(why.into()))?;
            releases.push((digest, serde_json::from_str(&row.get::<_, String>(1)?)?));
        }
        let audit = self.rows("SELECT body FROM audit ORDER BY seq DESC LIMIT 1", [])?;
        Ok(Saved {
            steady: u64::try_from(steady).unwrap_or(0),
            audit: audit.into_iter().next(),
            nodes: self.rows::<Record>("SELECT body FROM nodes ORDER BY id", [])?,
            releases,
            rollouts: self.rows::<Begun>("SELECT body FROM rollouts ORDER BY id", [])?,
            tokens: self.rows::<Token>("SELECT body FROM tokens ORDER BY name", [])?,
        })
    }

    fn journal(&mut self, rollout: u64) -> Result<Vec<Entry>, Error> {
        let query = "SELECT body FROM journal WHERE rollout = ?1 ORDER BY seq";
        self.rows(query, [signed(rollout)])
    }

    fn audit(&mut self, after: u64, most: usize) -> Result<Vec<Audit>, Error> {
        let query = "SELECT body FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        self.rows(query, [signed(after), signed(most as u64)])
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let all = self.0.transaction()?;
        for write in writes {
            let run = |query: &str, with: &[&dyn rusqlite::ToSql]| -> Result<(), Error> {
                all.prepare_cached(query)?.execute(with)?;
                Ok(())
            };
            match write {
                Write::Node(record) => run(
                    "INSERT OR REPLACE INTO nodes VALUES (?1, ?2)",
                    params![record.node.id, json(record)?],
                )?,
                Write::Release(digest, release) => run(
                    "INSERT OR REPLACE INTO releases VALUES (?1, ?2)",
                    params![digest.as_str(), json(release)?],
                )?,
                Write::Rollout(begun) => {
                    run(
                        "INSERT INTO rollouts VALUES (?1, ?2)",
                        params![signed(begun.id), json(begun)?],
                    )?;
                }
                Write::Entry(entry) => run(
                    "INSERT INTO journal VALUES (?1, ?2, ?3)",
                    params![signed(entry.rollout), signed(entry.seq), json(entry)?],
                )?,
                Write::Token(token) => run(
                    "INSERT OR REPLACE INTO tokens VALUES (?1, ?2)",
                    params![token.name, json(token)?],
                )?,
                Write::Revoke(name) => run("DELETE FROM tokens WHERE name = ?1", params![name])?,
                Write::Audit(line) => {
                    run(
                        "INSERT INTO audit VALUES (?1, ?2)",
                        params![signed(line.seq), json(line)?],
                    )?;
                }
                Write::Steady(steady) => run(
                    "INSERT OR REPLACE INTO meta VALUES ('steady', ?1)",
                    params![signed(*steady)],
                )?,
            }
        }
        Ok(all.commit()?)
    }
}

fn json(row: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(row)?)
}
