//! `wasi:http/types`: fields.

use pilotlight_filter::abi::limit::HEADER_MAP;
use pilotlight_filter::fields::{is_token, is_value};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};
use wasmtime::{Result, bail};

use super::{Store, resource, wasi, world};
use crate::component::world::FieldList;
use crate::host::Host;

/// The fields of a message.
#[derive(Default, Clone)]
pub(super) struct Fields {
    pub(super) list: FieldList,
    /// They are those of a message that is not the guest's to change.
    pub(super) fixed: bool,
}

/// Fields of a connection, or of what the host writes itself.
const FORBIDDEN: [&str; 8] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum HeaderError {
    #[component(name = "invalid-syntax")]
    Syntax,
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "immutable")]
    Immutable,
}

impl Fields {
    /// Bytes of the message's body, where they say that.
    pub(super) fn length(&self) -> Option<u64> {
        let (_, value) = self.list.iter().find(|(name, _)| name == "content-length")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    fn check(&self, name: &str, values: &[Vec<u8>]) -> Result<Result<(), HeaderError>> {
        if self.fixed {
            return Ok(Err(HeaderError::Immutable));
        }
        let known = self.list.iter().map(|(name, value)| name.len() + value.len());
        let more = values.iter().map(|value| name.len() + value.len());
        if known.chain(more).sum::<usize>() as u64 > HEADER_MAP {
            bail!("more than {HEADER_MAP} bytes of fields");
        }
        let written = !name.is_empty() && name.bytes().all(is_token);
        if !written || !values.iter().all(|value| is_value(value)) {
            return Ok(Err(HeaderError::Syntax));
        }
        Ok(if is_forbidden(name) { Err(HeaderError::Forbidden) } else { Ok(()) })
    }

    fn remove(&mut self, name: &str) {
        self.list.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    fn add(&mut self, name: &str, values: Vec<Vec<u8>>) {
        let name = name.to_ascii_lowercase();
        self.list.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
}

type Handle = Resource<Fields>;
type Changed = Result<(Result<(), HeaderError>,)>;

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("http/types"))?;
    resource::<Fields>(&mut at, "fields")?;
    at.func_wrap("[constructor]fields", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.table.push(Fields::default())?,))
    })?;
    at.func_wrap(
        "[static]fields.from-list",
        |mut s: Store<'_>, (list,): (FieldList,)| -> Result<(Result<Handle, HeaderError>,)> {
            let mut fields = Fields::default();
            for (name, value) in list {
                let value = vec![value];
                if let Err(error) = fields.check(&name, &value)? {
                    return Ok((Err(error),));
                }
                fields.add(&name, value);
            }
            Ok((Ok(world(&mut s)?.table.push(fields)?),))
        },
    )?;
    at.func_wrap("[method]fields.get", |mut s: Store<'_>, (f, name): (Handle, String)| {
        let list = world(&mut s)?.table.get(&f)?.list.iter();
        let found = list.filter(|(known, _)| known.eq_ignore_ascii_case(&name));
        Ok((found.map(|(_, value)| value.clone()).collect::<Vec<_>>(),))
    })?;
    at.func_wrap("[method]fields.has", |mut s: Store<'_>, (f, name): (Handle, String)| {
        let list = &world(&mut s)?.table.get(&f)?.list;
        Ok((list.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)),))
    })?;
    at.func_wrap(
        "[method]fields.set",
        |mut s: Store<'_>, (f, name, values): (Handle, String, Vec<Vec<u8>>)| -> Changed {
            let fields = world(&mut s)?.table.get_mut(&f)?;
            let checked = fields.check(&name, &values)?;
            if checked.is_ok() {
                fields.remove(&name);
                fields.add(&name, values);
            }
            Ok((checked,))
        },
    )?;
    at.func_wrap(
        "[method]fields.append",
        |mut s: Store<'_>, (f, name, value): (Handle, String, Vec<u8>)| -> Changed {
            let fields = world(&mut s)?.table.get_mut(&f)?;
            let values = vec![value];
            let checked = fields.check(&name, &values)?;
            if checked.is_ok() {
                fields.add(&name, values);
            }
            Ok((checked,))
        },
    )?;
    at.func_wrap(
        "[method]fields.delete",
        |mut s: Store<'_>, (f, name): (Handle, String)| -> Changed {
            let fields = world(&mut s)?.table.get_mut(&f)?;
            let checked = fields.check(&name, &[])?;
            if checked.is_ok() {
                fields.remove(&name);
            }
            Ok((checked,))
        },
    )?;
    at.func_wrap("[method]fields.entries", |mut s: Store<'_>, (f,): (Handle,)| {
        Ok((world(&mut s)?.table.get(&f)?.list.clone(),))
    })?;
    at.func_wrap("[method]fields.clone", |mut s: Store<'_>, (f,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let list = table.get(&f)?.list.clone();
        Ok((table.push(Fields { list, fixed: false })?,))
    })
}
