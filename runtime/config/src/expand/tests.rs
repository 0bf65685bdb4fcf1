use std::io::{self, ErrorKind};

use super::*;

struct OneFile;

impl Disk for OneFile {
    fn read(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/etc/token") => Ok("secret${env:A}\r\n".into()),
            Some("/etc/two") => Ok("x\n\n".into()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
    fn file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn expand(text: &str) -> Result<String, String> {
    let env = |name: &str| (name == "A").then(|| "1".to_owned());
    let expander = Expander { env: &env, disk: &OneFile, folder: Path::new("/etc"), open: false };
    expander.expand(text).map_err(|wrong| format!("{} | {}", wrong.reference, wrong.message))
}

#[test]
fn references() {
    for (text, expected) in [
        ("plain $ $$ $a {b}", "plain $ $$ $a {b}"),
        ("<${env:A}${env:A}>", "<11>"),
        ("$${env:A} ${env:A}", "${env:A} 1"),
        ("$$${env:A}", "$${env:A}"),
        ("${file:token}|", "secret${env:A}|"),
        ("${file:/etc/two}", "x\n"),
        ("ä${env:A}ö", "ä1ö"),
    ] {
        assert_eq!(expand(text), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn references_that_lead_nowhere() {
    for (text, expected) in [
        ("a ${env:B}", "${env:B} | the environment variable \"B\" is not set"),
        ("${file:none}", "${file:none} | cannot read \"none\": it does not exist"),
        ("${fleet:x} b", "${fleet:x} | \"${fleet:x}\" has its value on the nodes of a fleet"),
        ("${A}", "${A} | unknown reference \"${A}\""),
        ("a ${env:A", "${env:A | a reference without its `}`"),
    ] {
        assert_eq!(expand(text), Err(expected.to_owned()), "{text}");
    }
}
