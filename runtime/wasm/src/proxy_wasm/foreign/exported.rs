//! Functions of scripts (`gateway.export`): called through the host, by their names.

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_filter::host::{Called, Level, Outcome};

use crate::host::Host;
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::calling::{Caller, Event};

/// Calls one: what it gives, or the number of the answer that comes later.
pub(super) fn call(host: &mut Host, name: &[u8], argument: &[u8]) -> Result<Vec<u8>, Status> {
    let name = std::str::from_utf8(name).map_err(|_| Status::NotFound)?;
    // A module that a script calls would come back to the script that waits for it.
    if host.proxy.program.is_none() {
        return Err(Status::NotFound);
    }
    match host.services.exported(name, argument).ok_or(Status::NotFound)? {
        Called::Done(outcome) => match read(outcome) {
            Ok(bytes) => Ok(bytes.into()),
            Err(why) => {
                host.log(Level::Error, format!("{name}: {why}").as_bytes());
                Err(Status::InternalFailure)
            }
        },
        Called::Running(wait) => {
            let (token, caller) = Caller::begin(host)?;
            host.services.spawn(Box::pin(async move {
                let answer = read(wait.await);
                caller.tell(Event::Foreign { token, answer });
            }));
            Ok(token.to_le_bytes().to_vec())
        }
    }
}

fn read(outcome: Outcome) -> Result<Bytes, String> {
    match outcome {
        Ok(Value::Bytes(bytes)) => Ok(bytes.into()),
        Ok(_) => Ok(Bytes::new()),
        Err(Value::Bytes(why)) => Err(String::from_utf8_lossy(&why).into_owned()),
        Err(_) => Err("it failed".into()),
    }
}
