//! A file of SQLite, with a log written ahead: one sync for a batch, however many rows.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::sql::{self, Cell};
use super::{Audit, Entry, Error, Saved, Snapshot, Store, Write};

/// What is kept in a file.
pub struct Sqlite(Connection);

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error(error.to_string())
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Number(number) => ValueRef::Integer(*number),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
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
        for table in sql::TABLES {
            connection.execute_batch(table)?;
        }
        let store = Sqlite(connection);
        if let Some((text, with)) = sql::form(&mut |text, with| store.rows(text, with))? {
            store.0.execute(text, params_from_iter(&with))?;
        }
        Ok(store)
    }

    fn rows(&self, query: &str, with: &[Cell]) -> Result<Vec<String>, Error> {
        let mut query = self.0.prepare_cached(query)?;
        let rows = query.query_map(params_from_iter(with), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Saved, Error> {
        sql::load(&mut |text, with| self.rows(text, with))
    }

    fn snapshot(&mut self, rollout: u64) -> Result<Option<Snapshot>, Error> {
        sql::snapshot(&mut |text, with| self.rows(text, with), rollout)
    }

    fn journal(&mut self, rollout: u64) -> Result<Vec<Entry>, Error> {
        sql::journal(&mut |text, with| self.rows(text, with), rollout)
    }

    fn audit(&mut self, after: u64, most: usize) -> Result<Vec<Audit>, Error> {
        sql::audit(&mut |text, with| self.rows(text, with), after, most)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let all = self.0.transaction()?;
        for write in writes {
            let (text, with) = sql::statement(write)?;
            all.prepare_cached(text)?.execute(params_from_iter(&with))?;
        }
        Ok(all.commit()?)
    }
}
