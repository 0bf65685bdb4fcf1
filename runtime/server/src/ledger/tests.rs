use std::path::Path;

use super::*;

/// One that nobody keeps: what it is asked is never answered.
pub(crate) fn ledger() -> Arc<Ledger> {
    let text = "[[listeners]]\naddress = \"127.0.0.1:80\"\n[[routes]]\nrespond = {}\n\
        [shared.counts]\nsize = \"1MiB\"\nredis = \"main\"\n\
        [redis.main]\nurl = \"redis://127.0.0.1:1\"\n";
    let loaded = pilotlight_config::parse_str(text, Path::new("/"));
    let manifest = loaded.unwrap_or_else(|report| panic!("{report}")).manifest;
    ledgers(&manifest, &[]).remove(0)
}
