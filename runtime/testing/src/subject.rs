//! What a test tries: a filter, loaded as a manifest that names it would be.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_abi::Value;
use pilotlight_config::manifest::{self, FilterConfig, Manifest, Target};
use pilotlight_config::{Local, Report, Severity, parse_with};
use pilotlight_filter::{Chain, Engine, Link, LoadError, OnError, Plan, Realm};

use crate::Bench;
use crate::request::{ROUTE, UPSTREAM};
use crate::values::{Said, Table, json, literal, toml};
use crate::world::{Around, World};

/// A loaded filter.
pub(crate) struct Subject {
    realm: Rc<dyn Realm>,
    index: usize,
    name: Arc<str>,
    phases: pilotlight_abi::Phases,
    on_error: OnError,
    pub(crate) target: bool,
}

impl Subject {
    /// The filter alone in a chain, for one exchange.
    pub(crate) fn chain(&self) -> Chain {
        Chain::new(vec![Link {
            name: self.name.clone(),
            phases: self.phases,
            on_error: self.on_error,
            filter: self.realm.start(self.index),
        }])
    }
}

/// What the files of a folder are tested with.
pub(crate) struct Home {
    /// The folder of the test file: what its filters' paths are relative to.
    pub(crate) folder: PathBuf,
    /// The nearest manifest, or one that stands for none.
    manifest: Manifest,
    /// Whether there is one.
    pub(crate) found: bool,
    /// Where modules are kept compiled, if no manifest says so.
    cache: PathBuf,
}

/// Where scripts find each other without a manifest.
const PATH: &str = "[lua]\npath = [\"?.lua\", \"?/init.lua\", \"lua/?.lua\", \"lua/?/init.lua\"]\n";
const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";

impl Home {
    /// The nearest `pilotlight.toml`, in the folder or above it.
    pub(crate) fn of(folder: &Path, cache: &Path, bench: &Bench) -> Result<Home, Box<Report>> {
        let files = folder.ancestors().map(|folder| folder.join("pilotlight.toml"));
        let file = files.into_iter().find(|file| file.is_file());
        let loaded = match &file {
            Some(file) => pilotlight_config::load(file, &bench.env),
            None => {
                let text = format!("{PATH}{LISTENER}");
                parse_with(&text, &folder.join("test"), &bench.env, &Local)
            }
        };
        Ok(Home {
            folder: folder.into(),
            manifest: loaded.map_err(Box::new)?.manifest,
            found: file.is_some(),
            cache: cache.into(),
        })
    }

    /// Sizes of its dictionaries; without a manifest scripts have whatever they name.
    pub(crate) fn dictionaries(&self) -> Option<std::collections::BTreeMap<String, u64>> {
        let sizes = self.manifest.shared.iter().map(|(name, meant)| (name.clone(), meant.size));
        self.found.then(|| sizes.collect())
    }

    /// What an engine loads for the test file itself.
    pub(crate) fn plan(&self, bench: &Bench, engine: &str, now: f64) -> Plan {
        let mut plan = self.settled((bench.plan)(&self.manifest, engine, now));
        plan.filters.clear();
        plan.modules.clear();
        // A neighbour is found by its name.
        let here = ["?.lua", "?/init.lua"].map(|file| self.folder.join(file).display().to_string());
        plan.script.path.splice(0..0, here);
        plan
    }

    /// Opens the manifest's modules for the test file itself.
    pub(crate) fn modules(&self, bench: &Bench, world: &Rc<World>) -> Said<()> {
        for engine in &bench.engines {
            let plan = (bench.plan)(&self.manifest, engine.name(), world.clock.wall());
            let mut plan = self.settled(plan);
            plan.filters.clear();
            if !plan.modules.is_empty() {
                open(engine, &plan, world)?;
            }
        }
        Ok(())
    }

    fn settled(&self, mut plan: Plan) -> Plan {
        plan.script.any_shared = !self.found;
        if !self.found {
            plan.cache_dir.clone_from(&self.cache);
        }
        plan
    }

    /// Loads a filter that a test describes: `kind`, `what`, `config` and further keys.
    pub(crate) fn load(&self, bench: &Bench, world: &Rc<World>, table: Table<'_>) -> Said<Subject> {
        let mut manifest = self.around(bench, table)?;
        let config = table.get("config");
        let Some(index) = manifest.routes.iter().find_map(meant) else {
            return Err("no filter".into());
        };
        let filter = &mut manifest.filters[index];
        filter.config = match config {
            None => FilterConfig::None,
            Some(Value::Bytes(text)) => {
                FilterConfig::Text(String::from_utf8_lossy(text).into_owned())
            }
            Some(table) => FilterConfig::Json(json(table)),
        };
        let (name, on_error) = (filter.name.clone(), filter.on_error);
        let mut subject = None;
        for engine in &bench.engines {
            let plan = self.settled((bench.plan)(&manifest, engine.name(), world.clock.wall()));
            if plan.filters.is_empty() && plan.modules.is_empty() {
                continue;
            }
            let is_its = !plan.filters.is_empty();
            let (realm, phases) = open(engine, &plan, world)?;
            if is_its {
                subject = Some(Subject {
                    realm,
                    index: 0,
                    name: name.clone(),
                    phases,
                    on_error: match on_error {
                        manifest::OnError::Close => OnError::Close,
                        manifest::OnError::Open => OnError::Open,
                    },
                    target: plan.filters.iter().any(|filter| filter.target),
                });
            }
        }
        subject.ok_or_else(|| "this build has no engine for it".to_owned())
    }

    /// The manifest of a gateway that has this filter alone, with the settings of the nearest.
    fn around(&self, bench: &Bench, table: Table<'_>) -> Said<Manifest> {
        let text = described(table)?;
        let file = self.folder.join("test");
        let loaded = parse_with(&text, &file, &bench.env, &Local);
        let mut manifest = loaded.map_err(|report| errors(&report))?.manifest;
        let Manifest { lua, shared, modules, redis, consumers, .. } = self.manifest.clone();
        (manifest.lua, manifest.shared, manifest.modules) = (lua, shared, modules);
        (manifest.redis, manifest.consumers) = (redis, consumers);
        manifest.gateway.env.clone_from(&self.manifest.gateway.env);
        manifest.gateway.cache_dir.clone_from(&self.manifest.gateway.cache_dir);
        manifest.file.clone_from(&self.manifest.file);
        Ok(manifest)
    }
}

/// The filter that a route runs.
fn meant(route: &manifest::Route) -> Option<usize> {
    match route.target {
        Target::Script(index) => Some(index),
        _ => route.filters.first().copied(),
    }
}

/// The text of a manifest with this filter.
fn described(table: Table<'_>) -> Said<String> {
    let kind = table.text("kind")?.unwrap_or_default();
    let what = table.get("what").ok_or("which filter?")?;
    let mut route = format!("[[routes]]\nname = \"{ROUTE}\"\n");
    let upstream = format!("[upstreams.{UPSTREAM}]\nendpoints = [\"http://{UPSTREAM}.test:80\"]\n");
    let mut filter = String::new();
    let keys = table.table("keys")?;
    for (key, value) in keys.pairs() {
        let line = format!("{key} = {}\n", toml(value)?);
        if key == "vars" { &mut route } else { &mut filter }.push_str(&line);
    }
    if kind == "target" {
        if !filter.is_empty() {
            return Err("a target has no keys but vars".into());
        }
        return Ok(format!("{LISTENER}{route}lua = {}\n", toml(what)?));
    }
    let name = name(what);
    filter.push_str(&format!("{kind} = {}\n", toml(what)?));
    // A filter with a content phase is its route's target itself.
    let answers =
        matches!(what, Value::Map(pairs) if pairs.iter().any(|(key, _)| key == "content"));
    let end = match answers {
        true => String::new(),
        false => format!("upstream = \"{UPSTREAM}\"\n{upstream}"),
    };
    let name = literal(&name);
    Ok(format!("{LISTENER}{route}filters = [{name}]\n{end}[filters.{name}]\n{filter}"))
}

/// The filter's name: its file's, without what no name may have.
fn name(what: &Value) -> String {
    let Value::Bytes(text) = what else { return "test".into() };
    let text = String::from_utf8_lossy(text);
    let stem = Path::new(&*text).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let stem: String = stem.unwrap_or_default().chars().map(safe).take(64).collect();
    if stem.is_empty() { "test".into() } else { stem }
}

/// Loads a plan and opens it; what the first of its filters wants.
pub(crate) fn open(
    engine: &Arc<dyn Engine>,
    plan: &Plan,
    world: &Rc<World>,
) -> Said<(Rc<dyn Realm>, pilotlight_abi::Phases)> {
    let library = engine.load(plan).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(described_error).collect();
        errors.join("\n")
    })?;
    let realm = library.open(Rc::new(Around(world.clone())));
    world.realms.borrow_mut().push(realm.clone());
    Ok((realm, library.phases(0)))
}

fn described_error(error: &LoadError) -> String {
    let mut text = String::new();
    if let Some(file) = &error.file {
        text = file.display().to_string();
        if let Some(line) = error.line {
            text.push_str(&format!(":{line}"));
        }
        text.push_str(": ");
    }
    text.push_str(&error.message);
    if let Some(hint) = &error.hint {
        text.push_str(&format!(" ({hint})"));
    }
    text
}

/// The mistakes of a manifest that no file holds.
fn errors(report: &Report) -> String {
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let texts = errors.map(|problem| match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    });
    texts.collect::<Vec<_>>().join("\n")
}
