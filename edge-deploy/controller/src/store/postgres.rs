//! A database of PostgreSQL. The connection that writes holds a lock: a controller that has lost it can write nothing
//! more, and another one may begin.

use std::collections::HashMap;
use std::error::Error as _;

use postgres::types::ToSql;
use postgres::{Client, NoTls, Statement};

use super::sql::{self, Cell};
use super::{Audit, Entry, Error, Saved, Store, Write};

/// The lock of a database's controller: any number that nobody else takes.
const LOCK: i64 = 0x7069_6c6f_7466;

/// What is kept in a database.
pub struct Postgres {
    client: Client,
    /// Statements by their text.
    prepared: HashMap<&'static str, Statement>,
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        // What the server says is behind what the client says.
        match error.source() {
            Some(source) => Error(format!("{error}: {source}")),
            None => Error(error.to_string()),
        }
    }
}

fn cells(with: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    with.iter().map(cell).collect()
}

fn cell(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Number(number) => number,
        Cell::Text(text) => text,
    }
}

fn rows(client: &mut Client, text: &str, with: &[Cell]) -> Result<Vec<String>, Error> {
    let found = client.query(text, &cells(with))?;
    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

impl Postgres {
    /// Connects to `postgres://...`.
    ///
    /// Errors: also where another controller has it.
    pub fn open(url: &str) -> Result<Postgres, Error> {
        let mut client = Client::connect(url, NoTls)?;
        let locked: bool =
            client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.try_get(0)?;
        if !locked {
            return Err(Error("another controller has this database".into()));
        }
        for table in sql::TABLES {
            client.batch_execute(table)?;
        }
        if let Some((text, with)) = sql::form(&mut |text, with| rows(&mut client, text, with))? {
            client.execute(text, &cells(&with))?;
        }
        Ok(Postgres { client, prepared: HashMap::new() })
    }
}

impl Store for Postgres {
    fn load(&mut self) -> Result<Saved, Error> {
        sql::load(&mut |text, with| rows(&mut self.client, text, with))
    }

    fn journal(&mut self, rollout: u64) -> Result<Vec<Entry>, Error> {
        sql::journal(&mut |text, with| rows(&mut self.client, text, with), rollout)
    }

    fn audit(&mut self, after: u64, most: usize) -> Result<Vec<Audit>, Error> {
        sql::audit(&mut |text, with| rows(&mut self.client, text, with), after, most)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let mut all = self.client.transaction()?;
        for write in writes {
            let (text, with) = sql::statement(write)?;
            let statement = match self.prepared.get(text) {
                Some(statement) => statement.clone(),
                None => {
                    let statement = all.prepare(text)?;
                    self.prepared.insert(text, statement.clone());
                    statement
                }
            };
            all.execute(&statement, &cells(&with))?;
        }
        Ok(all.commit()?)
    }
}
