//! No text makes a selector or a manifest of the fleet panic. A selector that is read is written as one that
//! is the same; a refusal points into the text.
#![no_main]

use std::path::Path;

use pilotlight_config::Pretend;
use pilotlight_fleet::label::Labels;
use pilotlight_fleet::manifest::{Controller, Faults, Fleet, From, Node, Release, Rollout};
use pilotlight_fleet::selector::Selector;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Selector::parse(text) {
        Ok(selector) => {
            selector.matches("node", &Labels::new());
            // Signs and brackets that it adds may make it too long to be read again.
            if text.len() < 1024 {
                assert_eq!(Selector::parse(&selector.to_string()).as_ref(), Ok(&selector));
            }
        }
        Err(wrong) => assert!(text.get(wrong.at).is_some() && !wrong.message.is_empty()),
    }
    let from = From { env: &|_| None, disk: &Pretend };
    let file = Path::new("/fleet/manifest.toml");
    let refused = [
        Release::parse(text, file, from).err(),
        Rollout::parse(text, file, from).err(),
        Fleet::parse(text, file, from).err(),
        Node::parse(text, file, from).err(),
        Controller::parse(text, file, from).err(),
        Faults::parse(text, file, from).err(),
    ];
    for report in refused.into_iter().flatten() {
        assert!(report.has_errors() && !report.render(false).is_empty());
    }
});
