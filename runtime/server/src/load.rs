//! From a manifest to a generation: scripts compiled, modules validated, certificates read.
//! Everything that can be wrong is found here, before a socket is opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use pilotlight_abi::{Phase, Phases};
use pilotlight_config::manifest::{self, Manifest};
use pilotlight_config::{Loaded, Place, Problem, Report, Spot};
use pilotlight_core::router::Router;
use pilotlight_filter::host::{self, socket::TlsFiles};
use pilotlight_filter::{Engine, LoadError};
use rustls::ClientConfig;

use self::plan::{SHIPPED, kind};
use crate::admission::Gates;
use crate::apps::{App, Settings};
use crate::aside::Pools;
use crate::clock::Clock;
use crate::generation::{Generation, Libraries, Listener, ProgramRef, takes_part};
use crate::ledger::{Counts, Ledger, ledgers};
use crate::listener;
use crate::metrics::Registry;
use crate::services::dictionary;
use crate::shipped::{Desk, Ground, Limiter, Ships};
use crate::tls::{ClientTls, ProgramTls, ServerTls, TlsProblem};
use crate::upstream::{Roster, Shared, Way};

mod plan;

pub use self::plan::plan_of;

/// What a library has `found` before sleep, by the engine's name.
pub(crate) type Found<'a> = dyn Fn(&str) -> Vec<u8> + 'a;

/// What a generation is built with.
pub(crate) struct Loader {
    pub(crate) engines: Vec<Arc<dyn Engine>>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Registry>,
    /// For what ships with the gateway.
    pub(crate) desk: Arc<Desk>,
}

impl Loader {
    /// Loads everything that `loaded` names; what `old` has and the new one keeps is carried over, and what
    /// the engines have `found` before is not tried again.
    ///
    /// # Errors
    /// All problems at once; the report holds the warnings too.
    #[cold]
    pub(crate) fn load(
        &self,
        loaded: Loaded,
        old: Option<&Generation>,
        found: &Found<'_>,
    ) -> Result<(Generation, Report), Report> {
        let Loaded { manifest, warnings: mut report } = loaded;
        let number = old.map_or(1, |old| old.number + 1);
        let (mut libraries, mut programs) = self.programs(&manifest, number, found, &mut report);
        let ledgers = ledgers(&manifest, old.map_or(&[], |old| &old.ledgers));
        let dictionaries = self.dictionaries(&manifest, &ledgers, old);
        let ground = Ground {
            dictionaries: &dictionaries,
            ledgers: &ledgers,
            old: old.map_or(&[], |old| &old.limiters),
            desk: &self.desk,
            clock: self.clock,
        };
        let limiters = ships(&manifest, &ground, &mut libraries, &mut programs);
        let client_tls = ClientTls::default();
        let upstreams = self.upstreams(&manifest, old, &client_tls, &mut report);
        let listeners = listeners(&manifest, &programs, old, &mut report);
        let program_tls = program_tls(&manifest, &mut report);
        if report.has_errors() {
            return Err(report);
        }
        let generation = Generation {
            number,
            router: Router::new(&manifest.routes),
            series: Arc::new(self.metrics.series(&manifest)),
            dictionaries,
            ledgers,
            limiters,
            libraries,
            programs,
            upstreams,
            gates: Gates::new(&manifest, self.clock, old.map(|old| &old.gates)),
            listeners,
            pools: Pools::new(manifest.pools()),
            client_tls,
            program_tls,
            manifest,
        };
        Ok((generation, report))
    }

    /// Hands each engine what is its own.
    fn programs(
        &self,
        manifest: &Manifest,
        number: u64,
        found: &Found<'_>,
        report: &mut Report,
    ) -> (Libraries, Vec<ProgramRef>) {
        let mut libraries = Vec::new();
        let nowhere = ProgramRef { library: 0, index: 0, phases: Phases::NONE };
        let mut programs = vec![nowhere; manifest.filters.len()];
        for engine in &self.engines {
            let now = self.clock.wall().as_secs_f64();
            let (mut plan, mine) = plan_of(manifest, engine.name(), number, now);
            plan.found = found(engine.name());
            if plan.filters.is_empty() && plan.modules.is_empty() {
                continue;
            }
            match engine.load(&plan) {
                Err(errors) => {
                    errors.iter().for_each(|e| report.push(problem(manifest, e, Problem::error)));
                }
                Ok(library) => {
                    let notes = library.notes().iter();
                    notes.for_each(|note| report.push(problem(manifest, note, Problem::warning)));
                    for (place, index) in mine.into_iter().enumerate() {
                        let phases = library.phases(place);
                        let at_door =
                            |listener: &manifest::Listener| listener.filters.contains(&index);
                        let runs = manifest.listeners.iter().any(at_door);
                        let filter = &manifest.filters[index];
                        // What scripts for nginx have is known before they are loaded.
                        let is_kong = matches!(filter.program, manifest::Program::Kong(_));
                        for (phase, told) in [(Phase::Connect, true), (Phase::Certificate, is_kong)]
                        {
                            if told && !runs && phases.has(phase) {
                                report.push(unrun(filter, phase));
                            }
                        }
                        programs[index] =
                            ProgramRef { library: libraries.len(), index: place, phases };
                    }
                    libraries.push((engine.name(), library));
                }
            }
        }
        for filter in &manifest.filters {
            let what = kind(&filter.program);
            if what != SHIPPED && !self.engines.iter().any(|engine| engine.name() == what) {
                let message = format!("this build has no {what} engine");
                report.push(Problem::error(filter.place.clone(), message));
            }
        }
        (libraries, programs)
    }

    /// Upstreams that mean the same as before are the same: their connections and counts go on.
    fn upstreams(
        &self,
        manifest: &Manifest,
        old: Option<&Generation>,
        client_tls: &ClientTls,
        report: &mut Report,
    ) -> Vec<Arc<Shared>> {
        let mut all = Vec::with_capacity(manifest.upstreams.len());
        for meant in &manifest.upstreams {
            let tls = match meant.endpoints.iter().any(|e| e.tls) {
                false => None,
                true => match client_tls.config(&meant.tls, meant.protocol) {
                    Ok(config) => Some(config),
                    Err(problem) => {
                        report.push(tls_problem(&problem, &meant.place, false));
                        continue;
                    }
                },
            };
            let same = |known: &&Arc<Shared>| tls.is_none() && facts(&known.meant) == facts(meant);
            let kept = old.and_then(|old| old.upstreams.iter().find(same)).cloned();
            all.push(kept.unwrap_or_else(|| {
                let way = match self.app(meant, tls.clone(), old) {
                    Some(app) => Way::App(app),
                    None => way(meant, old),
                };
                Shared::new(meant.clone(), tls, way)
            }));
        }
        all
    }

    /// The application behind an upstream: the one that runs, where it stays the same.
    fn app(
        &self,
        meant: &manifest::Upstream,
        tls: Option<Arc<ClientConfig>>,
        old: Option<&Generation>,
    ) -> Option<Arc<App>> {
        let activate = meant.activate.clone()?;
        let settings = Settings::new(meant, activate, tls);
        let mut apps = old.iter().flat_map(|old| old.apps());
        let kept = apps.find(|app| app.goes_on(&meant.name, &settings)).cloned();
        Some(kept.unwrap_or_else(|| App::new(meant.name.clone(), settings, self.clock)))
    }

    /// Dictionaries keep their entries over a reload when their size is the same.
    fn dictionaries(
        &self,
        manifest: &Manifest,
        ledgers: &[Arc<Ledger>],
        old: Option<&Generation>,
    ) -> BTreeMap<String, Arc<dyn host::Shared>> {
        let ledger = |meant: &manifest::Shared, all: &[Arc<Ledger>]| {
            let name = meant.redis.as_ref()?;
            all.iter().find(|ledger| ledger.name() == name).cloned()
        };
        let keep = |name: &str, meant: &manifest::Shared| {
            let old = old?;
            let before = old.manifest.shared.get(name).filter(|before| *before == meant)?;
            let (then, now) = (ledger(before, &old.ledgers), ledger(meant, ledgers));
            let same = then.as_ref().map(Arc::as_ptr) == now.as_ref().map(Arc::as_ptr);
            old.dictionaries.get(name).filter(|_| same).cloned()
        };
        let all = manifest.shared.iter().map(|(name, meant)| {
            let made = || {
                let own = dictionary(meant.size, self.clock);
                match ledger(meant, ledgers) {
                    Some(ledger) => Counts::new(name, own, ledger) as Arc<dyn host::Shared>,
                    None => own,
                }
            };
            (name.clone(), keep(name, meant).unwrap_or_else(made))
        });
        all.collect()
    }
}

/// What ships with the gateway, as one library more; those of it that limit.
fn ships(
    manifest: &Manifest,
    ground: &Ground<'_>,
    libraries: &mut Libraries,
    programs: &mut [ProgramRef],
) -> Vec<Arc<Limiter>> {
    let Some((ships, mine)) = Ships::load(manifest, ground) else { return Vec::new() };
    let limiters = ships.limiters();
    for (place, index) in mine.into_iter().enumerate() {
        let phases = pilotlight_filter::Library::phases(&ships, place);
        programs[index] = ProgramRef { library: libraries.len(), index: place, phases };
    }
    libraries.push((SHIPPED, Arc::new(ships)));
    limiters
}

/// Shows an engine's error where it is: in the script, or else where the manifest names it.
fn problem(manifest: &Manifest, error: &LoadError, made: fn(Spot, String) -> Problem) -> Problem {
    let named = || {
        let filter = manifest.filters.iter().find(|f| f.name == error.program);
        let module = manifest.modules.iter().find(|m| m.name == error.program);
        filter.map(|f| f.place.clone()).or_else(|| module.map(|m| m.place.clone()))
    };
    let spot = match (&error.file, error.line) {
        (Some(file), Some(line)) => Spot::Line { file: file.clone(), line, column: 1 },
        (file, _) => match (named(), file) {
            (Some(place), _) => Spot::Bytes(place),
            (None, Some(file)) => Spot::File(file.clone()),
            (None, None) => Spot::File(manifest.file.clone()),
        },
    };
    // An error without a line stands where the manifest names the program: say which file it is.
    let file = error.file.as_ref().filter(|_| error.line.is_none());
    let file = file.map(|file| file.display().to_string());
    let message = match file.filter(|file| !error.message.contains(file.as_str())) {
        Some(file) => format!("{file}: {}", error.message),
        None => error.message.clone(),
    };
    let problem = made(spot, message);
    match &error.hint {
        Some(hint) => problem.hint(hint.clone()),
        None => problem,
    }
}

/// Connections come before routes.
fn unrun(filter: &manifest::Filter, phase: Phase) -> Problem {
    let (phase, name) = (phase.name(), &filter.name);
    let message = format!("the phase `{phase}` of {name} never runs: no listener names it");
    let problem = Problem::warning(filter.place.clone(), message);
    problem.hint("put it into the `filters` of a listener")
}

fn tls_problem(problem: &TlsProblem, fallback: &Place, warning: bool) -> Problem {
    let place = match problem.place == Place::default() {
        true => fallback.clone(),
        false => problem.place.clone(),
    };
    let made = match warning {
        true => Problem::warning(place, problem.message.clone()),
        false => Problem::error(place, problem.message.clone()),
    };
    match &problem.hint {
        Some(hint) => made.hint(hint.clone()),
        None => made,
    }
}

/// What programs' connections trust and show: files that can't be used are found here, not by a script.
fn program_tls(manifest: &Manifest, report: &mut Report) -> Arc<ProgramTls> {
    let programs = Arc::<ProgramTls>::default();
    let of_filters = manifest.filters.iter().filter_map(|filter| match &filter.program {
        manifest::Program::OpenResty(scripts) => Some((tls_files(&scripts.ssl), &filter.place)),
        _ => None,
    });
    let of_redis = manifest
        .redis
        .iter()
        .filter(|redis| redis.tls)
        .map(|redis| (TlsFiles { ca: redis.ca.clone(), ..TlsFiles::default() }, &redis.place));
    for (files, place) in of_filters.chain(of_redis) {
        if let Err(problem) = programs.check(&files) {
            report.push(tls_problem(&problem, place, false));
        }
    }
    programs
}

fn tls_files(ssl: &manifest::SocketTls) -> TlsFiles {
    let protocols = [("TLSv1.2", ssl.tls12), ("TLSv1.3", ssl.tls13)];
    TlsFiles {
        ca: ssl.ca.clone(),
        crl: ssl.crl.clone(),
        certificate: ssl.certificate.clone(),
        key: ssl.key.clone(),
        protocols: protocols.iter().filter(|p| p.1).map(|p| p.0.to_owned()).collect(),
        ciphers: ssl.ciphers.clone(),
        depth: Some(ssl.verify_depth),
    }
}

/// What is known of its endpoints goes on.
fn way(meant: &manifest::Upstream, old: Option<&Generation>) -> Way {
    let sought = meant.endpoints.iter().any(|endpoint| endpoint.is_sought());
    if meant.health.is_none() && meant.outlier.is_none() && !sought {
        return Way::Plain;
    }
    let mut known = old.iter().flat_map(|old| &old.upstreams);
    let known = known.find(|known| known.meant.name == meant.name);
    Way::Watched(Roster::new(meant, known.and_then(|known| known.roster()).map(|old| &**old)))
}

/// What an upstream means, wherever it stands in its file.
fn facts(upstream: &manifest::Upstream) -> String {
    let mut plain = upstream.clone();
    plain.place = Place::default();
    // The gate stands before it.
    plain.admission = None;
    plain.endpoints.iter_mut().for_each(|e| e.place = Place::default());
    format!("{plain:?}")
}

fn listeners(
    manifest: &Manifest,
    programs: &[ProgramRef],
    old: Option<&Generation>,
    report: &mut Report,
) -> Vec<Arc<Listener>> {
    let health = manifest.gateway.idle.health_path.as_deref().map(Arc::<str>::from);
    let mut all = Vec::with_capacity(manifest.listeners.len());
    for (index, settings) in manifest.listeners.iter().enumerate() {
        let tls = settings
            .tls
            .as_ref()
            .map(|tls| ServerTls::load(tls, settings.http1, settings.http2, settings.http3));
        let tls = match tls.transpose() {
            Ok(tls) => tls.map(Arc::new),
            Err(problems) => {
                problems.iter().for_each(|p| report.push(tls_problem(p, &settings.place, false)));
                continue;
            }
        };
        for warning in tls.iter().flat_map(|t| &t.warnings) {
            report.push(tls_problem(warning, &settings.place, true));
        }
        let staged = settings.filters.iter().any(|at| takes_part(programs[*at].phases));
        if staged && settings.http3 {
            let message = "filters can't take part in the handshakes of http3";
            let problem = Problem::error(settings.place.clone(), message);
            report.push(problem.hint("give http3 a listener without them, on another port"));
        }
        let before = old.and_then(|old| old.listeners.iter().find(|l| l.name == settings.name));
        let port = match &settings.address {
            manifest::Address::Tcp(address) => Some(address.port()).filter(|p| *p != 0),
            // `check` runs without them, and announces nothing.
            manifest::Address::Inherited(name) => listener::port(name),
            manifest::Address::Unix(_) => None,
        };
        let announce = |port| format!("h3=\":{port}\"; ma=3600").into_boxed_str();
        all.push(Arc::new(Listener {
            index,
            name: settings.name.clone(),
            alt_svc: port.filter(|_| settings.http3).map(announce),
            staged,
            health: health
                .clone()
                .filter(|_| settings.http1 && settings.tls.is_none() && !settings.proxy_protocol),
            open: before.map_or_else(|| Arc::new(AtomicUsize::new(0)), |l| l.open.clone()),
            tls,
            settings: settings.clone(),
        }));
    }
    all
}
