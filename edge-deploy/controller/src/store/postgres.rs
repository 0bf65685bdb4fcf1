//! A database of PostgreSQL, which several controllers may share: one of them leads, the others stand by.
//!
//! The connection that writes holds a lock: who has lost it has lost the lead, and another one may begin. Each lead
//! has a number, which is looked at in every transaction: whatever becomes of locks and connections (a pool, a
//! server that takes over for another), who was followed by another one writes nothing more.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::types::ToSql;
use postgres::{Client, Statement, Transaction};

use super::secure::{self, Tls};
use super::sql::{self, Cell};
use super::{Audit, Entry, Error, Opened, Saved, Snapshot, Store, Write};

/// The lock of a database's controller: any number that nobody else takes.
const LOCK: i64 = 0x7069_6c6f_7466;
/// The lead: its number, and where the one who has it is reached.
const LEADER: &str = "CREATE TABLE IF NOT EXISTS leader \
     (one BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, url TEXT NOT NULL)";
const LEAD: &str = "INSERT INTO leader VALUES (1, 1, $1) ON CONFLICT (one) \
     DO UPDATE SET epoch = leader.epoch + 1, url = EXCLUDED.url RETURNING epoch";
/// Nobody takes the lead while a transaction of the one who has it is under way.
const LEADS: &str = "SELECT epoch FROM leader WHERE one = 1 AND epoch = $1 FOR SHARE";
/// Both sides notice within half a minute that the other one has gone without a word, lock and all.
const SILENCE: Duration = Duration::from_secs(10);
const PROBES: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
     SET tcp_keepalives_count = 3";

/// What is kept in a database.
pub struct Postgres {
    client: Client,
    epoch: i64,
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
    /// Connects to `postgres://...`, and takes the lead if nobody has it. `folder` is what files in the URL are
    /// relative to; `own` is where this controller is reached.
    pub fn open(url: &str, folder: &Path, own: &str) -> Result<Opened, Error> {
        Postgres::opener(url.into(), folder.into(), own.into())()
    }

    /// The same, again and again: who stands by keeps its connection.
    pub fn opener(
        url: String,
        folder: PathBuf,
        own: String,
    ) -> impl FnMut() -> Result<Opened, Error> + Send {
        let mut kept = None;
        move || {
            let mut client = match kept.take() {
                Some(client) => client,
                None => connect(&url, &folder)?,
            };
            if let Some(epoch) = lead(&mut client, &own)? {
                let prepared = HashMap::new();
                return Ok(Opened::Ours(Box::new(Postgres { client, epoch, prepared })));
            }
            // Before the first one has led there is no such table.
            let leader = client.query_opt("SELECT url FROM leader WHERE one = 1", &[]);
            let leader: Option<String> = leader.ok().flatten().and_then(|row| row.try_get(0).ok());
            kept = Some(client);
            Ok(Opened::Theirs(leader.filter(|url| !url.is_empty())))
        }
    }
}

fn connect(url: &str, folder: &Path) -> Result<Client, Error> {
    let (mut config, secure) = secure::parse(url, folder).map_err(Error)?;
    config.connect_timeout(SILENCE).tcp_user_timeout(SILENCE * 2);
    config.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 2).keepalives_retries(3);
    let mut client = config.connect(Tls::new(&secure).map_err(Error)?)?;
    client.batch_execute(PROBES)?;
    Ok(client)
}

/// Takes the lead, if nobody has it: its number.
fn lead(client: &mut Client, own: &str) -> Result<Option<i64>, Error> {
    let locked: bool = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.try_get(0)?;
    if !locked {
        return Ok(None);
    }
    for table in sql::TABLES.iter().chain(&[LEADER]) {
        client.batch_execute(table)?;
    }
    if let Some((text, with)) = sql::form(&mut |text, with| rows(client, text, with))? {
        client.execute(text, &cells(&with))?;
    }
    Ok(Some(client.query_one(LEAD, &[&own])?.try_get(0)?))
}

impl Store for Postgres {
    fn load(&mut self) -> Result<Saved, Error> {
        sql::load(&mut |text, with| rows(&mut self.client, text, with))
    }

    fn snapshot(&mut self, rollout: u64) -> Result<Option<Snapshot>, Error> {
        sql::snapshot(&mut |text, with| rows(&mut self.client, text, with), rollout)
    }

    fn journal(&mut self, rollout: u64) -> Result<Vec<Entry>, Error> {
        sql::journal(&mut |text, with| rows(&mut self.client, text, with), rollout)
    }

    fn audit(&mut self, after: u64, most: usize) -> Result<Vec<Audit>, Error> {
        sql::audit(&mut |text, with| rows(&mut self.client, text, with), after, most)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let Postgres { client, epoch, prepared } = self;
        let mut all = client.transaction()?;
        let mut of = |all: &mut Transaction<'_>, text| match prepared.get(text) {
            Some(statement) => Ok(statement.clone()),
            None => all.prepare(text).inspect(|new| drop(prepared.insert(text, new.clone()))),
        };
        let leads = of(&mut all, LEADS)?;
        if all.query_opt(&leads, &[epoch])?.is_none() {
            return Err(Error("another controller leads".into()));
        }
        for write in writes {
            let (text, with) = sql::statement(write)?;
            let statement = of(&mut all, text)?;
            all.execute(&statement, &cells(&with))?;
        }
        Ok(all.commit()?)
    }

    fn beat(&mut self) -> Result<(), Error> {
        self.commit(&[])
    }
}
