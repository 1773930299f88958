//! Connections to PostgreSQL that commit one row after the other, with numbers of their own; none is ever made again.
//!
//! Rows by turns are one statement, or a transaction of three, so that a move finds transactions open, too.
//!
//! The control port answers `report` with JSON. `check ADDRESS` asks the server, on a new connection, for what is there: `ok CLIENT=N …` if every
//! connection's rows are numbered from 1 to N and each is there once, and N is what was acknowledged; else what is wrong. `stop` ends all
//! connections after the row at hand (and reports).

mod server;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::server::Server;
use crate::{Failure, control};

/// How long the server may take to start, or the connections to end.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between a row and the next.
const REST: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Record {
    acknowledged: u64,
    backend: u32,
    longest: Duration,
    trouble: String,
    over: bool,
}

type Records = Arc<Vec<Mutex<Record>>>;

/// Run until the container is ended.
pub(crate) fn rows(port: u16, address: &str, count: u64) -> Result<(), Failure> {
    let began = Instant::now();
    // No index that would refuse a number which comes twice.
    while let Err(error) = Server::connect(address)
        .and_then(|mut server| server.ask("create table rows (client int, number bigint, backend int)"))
    {
        if began.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let records: Records = Arc::new((0..count).map(|_| Mutex::default()).collect());
    for client in 0..records.len() {
        let (records, stopped, address) = (Arc::clone(&records), Arc::clone(&stopped), address.to_owned());
        std::thread::spawn(move || {
            let result = commit(&address, client, &records[client], &stopped);
            let mut record = locked(&records[client]);
            record.over = true;
            record.trouble = result.err().map(|error| error.to_string()).unwrap_or_default();
        });
    }
    control::answer_on(port, move |line| {
        if let Some(address) = line.strip_prefix("check ") {
            return check(address, &records).unwrap_or_else(|error| error.to_string());
        }
        if line == "stop" {
            stopped.store(true, Ordering::SeqCst);
            let began = Instant::now();
            while began.elapsed() < PATIENCE && records.iter().any(|record| !locked(record).over) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let texts: Vec<String> = records.iter().map(|record| json(&locked(record))).collect();
        format!("[{}]", texts.join(","))
    })
}

fn commit(address: &str, client: usize, record: &Mutex<Record>, stopped: &AtomicBool) -> Result<(), Failure> {
    let mut server = Server::connect(address)?;
    locked(record).backend = server.backend;
    for number in 1_u64.. {
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        let insert =
            format!("insert into rows values ({client}, {number}, pg_backend_pid()) returning backend");
        let began = Instant::now();
        let found = if number.is_multiple_of(2) {
            server.ask("begin")?;
            let found = server.ask(&insert)?;
            server.ask("commit")?;
            found
        } else {
            server.ask(&insert)?
        };
        let mut record = locked(record);
        record.acknowledged = number;
        record.longest = record.longest.max(began.elapsed());
        drop(record);
        if found != [[server.backend.to_string()]] {
            return Err(format!("process {} became {found:?}", server.backend).into());
        }
        std::thread::sleep(REST);
    }
    Ok(())
}

fn check(address: &str, records: &Records) -> Result<String, Failure> {
    let acknowledged: Vec<u64> = records.iter().map(|record| locked(record).acknowledged).collect();
    let statement = "select client, count(*), count(distinct number), min(number), max(number), count(distinct backend) \
                     from rows group by client order by client";
    let rows = Server::connect(address)?.ask(statement)?;
    if rows.len() != records.len() {
        return Err(format!("{} clients have rows: {rows:?}", rows.len()).into());
    }
    let mut text = "ok".to_owned();
    for (client, row) in rows.iter().enumerate() {
        let numbers: Vec<u64> = row.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
        let [named, count, distinct, first, last, backends] = numbers[..] else {
            return Err(format!("a row {row:?}").into());
        };
        let before = acknowledged.get(client).copied().unwrap_or_default();
        // One more may have been committed without its answer having come.
        let after = locked(&records[client]).acknowledged + 1;
        let whole = named == client as u64 && count == distinct && first == 1 && last == count;
        if !whole || backends != 1 || !(before..=after).contains(&last) {
            return Err(format!(
                "client {client} was told of {before} to {after} rows; there are {count}, {distinct} different ones from {first} to {last}, by {backends} processes"
            )
            .into());
        }
        text.extend([" ", &client.to_string(), "=", &count.to_string()]);
    }
    Ok(text)
}

fn locked(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(record: &Record) -> String {
    format!(
        r#"{{"acknowledged":{},"backend":{},"longest_us":{},"trouble":"{}"}}"#,
        record.acknowledged,
        record.backend,
        record.longest.as_micros(),
        record.trouble.replace(['"', '\\', '\n', '\r'], " "),
    )
}
