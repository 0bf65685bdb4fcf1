use std::path::Path;

use pilotlight_config::Pretend;

use super::*;

fn from() -> From<'static> {
    From { env: &|_| None, disk: &Pretend }
}

/// The manifests of the documentation's contract, word by word.
const RELEASE: &str = r#"
kind = "release"
name = "shop-edge"
version = "1.42.0"
gateway = "pilotlight.toml"
needs = { gateway = ">=0.1", free_disk = "8MiB" }
tests = ["filters"]
secrets = ["origin-token"]
"#;

const ROLLOUT: &str = r#"
kind = "rollout"
release = "shop-edge@1.42.0"
target = 'role == "pop" and country in ["DE", "CH"] and not frozen'
pace = { start = "50/min", grow = 2.0, max = "5000/min", max_unavailable = "10% per site" }
offline = { reachable = "15m", advance_on = "90%", expire = "30d" }
windows = { tz = "site", switch = ["Mon-Thu 01:00-05:00"] }
[[waves]]
name = "canary"
pick = { count = 5, spread = "site" }
[[waves]]
name = "quarter"
pick = { percent = 25 }
[[waves]]
name = "rest"
pick = "rest"
approve = true
[gate]
probation = "2m"
soak = "15m"
metrics = [ { name = "error_ratio", against = "control", worse_by = "0.5pp" } ]
no_data = "hold"
[[abort]]
kind = "crash_loop"
nodes = 2
do = "revert"
[[abort]]
kind = "any"
ratio = "5%"
after_attempts = 20
do = "revert"
"#;

const FLEET: &str = r#"
kind = "fleet"
vars = { cache = "256MiB" }
[groups.big]
match = "ram_mb >= 4096"
priority = 10
vars = { cache = "1GiB" }
[nodes."pop-fra-07"]
hold = "hardware swap"
"#;

const NODE: &str = r#"
kind = "node"
id = "pop-fra-07"
labels = { role = "pop", site = "fra", country = "DE", ram_mb = 4096, frozen = false }
controllers = ["https://fleet.example"]
sources = ["oci://registry.example/edge", "https://cdn.example/edge"]
trust = ["keys/release.pub"]
store = { dir = "state", keep = 3, reserve = "64MiB" }
gateway = { admin = "unix:run/admin.sock" }
safety = { exits = 3, within = "60s", confirm_in = "3m" }
"#;

const CONTROLLER: &str = r#"
kind = "controller"
address = "[::]:9443"
tls = { certificate = "fleet.pem", key = "fleet.key" }
store = "sqlite:controller.db"
sources = ["oci://registry.example/edge"]
trust = ["keys/release.pub"]
fleet = "fleet.toml"
"#;

fn read<M>(parse: fn(&str, &Path, From<'_>) -> Parsed<M>, text: &str) -> M {
    let (made, warnings) =
        parse(text, Path::new("/f/x.toml"), from()).unwrap_or_else(|report| panic!("{report}"));
    assert!(warnings.is_empty(), "{warnings}");
    made
}

#[test]
fn the_manifests_of_the_contract_are_read() {
    let release = read(Release::parse, RELEASE);
    assert_eq!((release.free_disk, release.secrets), (8 << 20, vec!["origin-token".to_owned()]));
    let rollout = read(Rollout::parse, ROLLOUT);
    assert_eq!((rollout.release.as_str(), rollout.version.as_str()), ("shop-edge", "1.42.0"));
    assert_eq!(rollout.offline.expire, std::time::Duration::from_secs(30 * 86_400));
    assert_eq!(rollout.waves[2].approve, Some(Approve::Anyone));
    assert_eq!(rollout.abort.len(), 2);
    let fleet = read(Fleet::parse, FLEET);
    assert_eq!(fleet.hold("pop-fra-07"), Some("hardware swap"));
    let node = read(Node::parse, NODE);
    assert_eq!(node.labels["ram_mb"], 4096.0.into());
    assert_eq!(node.safety.confirm, Confirm::ControllerIfWasOnline);
    let vars = fleet.vars(&node.id, &node.labels).unwrap();
    assert_eq!(vars["cache"], "1GiB".into());
    assert_eq!(read(Controller::parse, CONTROLLER).enrol, Enrol::Token);
}

#[test]
fn a_rollout_survives_being_stored() {
    let rollout = read(Rollout::parse, ROLLOUT);
    let text = serde_json::to_string(&rollout).unwrap();
    assert_eq!(serde_json::from_str::<Rollout>(&text).unwrap(), rollout);
}

/// What is said about a rollout with these lines, without the excerpts.
fn said(lines: &str) -> Vec<String> {
    let text = format!("kind = \"rollout\"\nrelease = \"a@1\"\n{lines}\n");
    let report = Rollout::parse(&text, Path::new("x.toml"), from()).unwrap_err();
    let text = report.to_string();
    text.lines().filter(|line| !line.contains(" | ")).map(str::to_owned).collect()
}

#[test]
fn mistakes_have_a_place_and_a_hint() {
    let target = "target = 'a'";
    for (lines, expected) in [
        ("target = 'role = 1'", &["x.toml:3:16: unexpected `=`", "hint: equality is `==`"][..]),
        (
            "target = 'a'\npaec = { }",
            &["x.toml:4:1: unknown key \"paec\"", "hint: did you mean \"pace\"?"],
        ),
        (
            "target = 'a'\npace = { start = \"50\" }",
            &[
                "x.toml:4:18: \"50\" is not a rate",
                "hint: such as \"50/min\", \"2/s\" or \"600/h\"",
            ],
        ),
        (
            "target = 'a'\nwindows = { switch = [\"Mon 1-2\"] }",
            &[
                "x.toml:4:23: \"Mon 1-2\" is not a window",
                "hint: days and hours: \"Mon-Thu 01:00-05:00\", \"Sat,Sun 22:00-04:00\", \"daily 02:00-03:30\"",
            ],
        ),
        (
            "target = 'a'\nwindows = { tz = \"Berlin\", switch = [\"daily 01:00-02:00\"] }",
            &[
                "x.toml:4:18: there is no time zone \"Berlin\"",
                "hint: \"site\", or an IANA name such as \"Europe/Berlin\"",
            ],
        ),
        (
            "target = 'a'\n[[waves]]\nname = \"a\"\npick = \"rest\"\n[[waves]]\nname = \"b\"\npick = \"rest\"",
            &[
                "x.toml:6:8: nothing is left for the waves after this one",
                "hint: the wave with pick = \"rest\" comes last",
            ],
        ),
        (
            "target = 'a'\n[[abort]]\nkind = \"crash\"\nnodes = 1\ndo = \"revert\"",
            &[
                "x.toml:5:8: \"crash\" is not a kind of failure: one of \"rejected\", \"crash_loop\", \"probe\", \"slo\", \"silent\", \"rolled_back\", \"any\"",
            ],
        ),
        (
            "target = 'a'\n[[abort]]\nkind = \"any\"\ndo = \"revert\"",
            &["x.toml:5:8: a rule needs one of nodes and ratio"],
        ),
        (
            "target = 'a'\n[gate]\nmetrics = [{ name = \"latency_p99\", worse_by = \"1pp\" }]",
            &["x.toml:5:47: a latency has no percentage points", "hint: such as \"20%\""],
        ),
        ("", &["x.toml:1:1: \"target\" is missing"]),
    ] {
        let said = said(lines);
        assert_eq!(&said[..expected.len().min(said.len())], expected, "{target} {lines}\n{said:?}");
    }
    let wrong = Release::parse(ROLLOUT, Path::new("x.toml"), from()).unwrap_err().to_string();
    assert!(wrong.contains("this is not a release but a rollout"), "{wrong}");
}

#[test]
fn groups_that_disagree_are_named() {
    let text = "kind = \"fleet\"\n[groups.a]\nmatch = \"x\"\nvars = { v = 1 }\n[groups.b]\nmatch = \"x\"\nvars = { v = 2 }\n";
    let fleet = read(Fleet::parse, text);
    let labels = [("x".to_owned(), true.into())].into();
    let names = ("a".to_owned(), "b".to_owned(), "v".to_owned());
    assert_eq!(fleet.vars("n", &labels), Err(names));
    assert_eq!(fleet.vars("n", &label::Labels::new()), Ok(Default::default()));
}
