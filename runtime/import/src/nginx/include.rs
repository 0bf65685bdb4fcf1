//! A file with what it includes, as one tree.

use std::path::{Path, PathBuf};

use pilotlight_config::glob;

use super::Import;
use super::parse::{Directive, Spot, parse};
use crate::note::Refused;

/// Files within files.
const DEEPEST: usize = 16;

/// Files in all.
const MOST: usize = 2000;

/// The tree of a text; directives `include` are replaced by what they name.
///
/// Errors: the text, or an included one, is not nginx's syntax.
pub(super) fn whole(import: &mut Import<'_>, text: &str) -> Result<Vec<Directive>, Refused> {
    let file = import.source.file.display().to_string();
    let mut reader = Reader { files: 0, import };
    reader.expanded(parse(text, &file)?, 0)
}

struct Reader<'i, 's> {
    files: usize,
    import: &'i mut Import<'s>,
}

impl Reader<'_, '_> {
    fn expanded(&mut self, tree: Vec<Directive>, depth: usize) -> Result<Vec<Directive>, Refused> {
        let mut all = Vec::with_capacity(tree.len());
        for mut directive in tree {
            if directive.name == "include" && directive.block.is_none() {
                self.include(&directive, depth, &mut all)?;
                continue;
            }
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expanded(block, depth)?);
            }
            all.push(directive);
        }
        Ok(all)
    }

    fn include(
        &mut self,
        directive: &Directive,
        depth: usize,
        all: &mut Vec<Directive>,
    ) -> Result<(), Refused> {
        let name = directive.arg(0);
        // Types are the gateway's own; parameters of other protocols have no like.
        if name.ends_with("mime.types") || name.ends_with("_params") {
            return Ok(());
        }
        let spot = &directive.spot;
        if depth >= DEEPEST {
            self.import.note(spot, "files include each other too deep", "write them into one");
            return Ok(());
        }
        let files = match self.files(name) {
            Ok(files) => files,
            Err(why) => {
                self.missing(spot, name, &why);
                return Ok(());
            }
        };
        for file in files {
            self.files += 1;
            if self.files > MOST {
                self.import.note(spot, "more than 2000 files are included", "import them apart");
                return Ok(());
            }
            match self.import.source.disk.read(&file) {
                Ok(text) => {
                    let tree = parse(&text, &file.display().to_string())?;
                    all.extend(self.expanded(tree, depth + 1)?);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.missing(spot, name, "it does not exist");
                }
                Err(error) => self.missing(spot, name, &error.to_string()),
            }
        }
        Ok(())
    }

    fn missing(&mut self, spot: &Spot, name: &str, why: &str) {
        let what = format!("cannot read what is included as \"{name}\": {why}");
        self.import.note(spot, what, "import where the file is, or name nginx's folder: --prefix");
    }

    /// In order; a pattern may stand for none.
    fn files(&self, name: &str) -> Result<Vec<PathBuf>, String> {
        let folder = self.import.source.file.parent().unwrap_or(Path::new("/"));
        if !glob::is_pattern(name) {
            return Ok(vec![folder.join(name)]);
        }
        glob::expand(self.import.source.disk, folder, name).map_err(|error| error.to_string())
    }
}
