//! Fields as whole tables, of one request after the other: what is kept of one never shows in another.

use std::collections::BTreeMap;

use pilotlight_filter::abi::Phase;

use crate::nginx::*;
use crate::rig::*;

/// Says all fields by name, and then does to its table whatever a script may.
const TELLS: &str = "
    local all = {}
    for name, value in pairs(ngx.req.get_headers(MAX, RAW)) do
      all[#all + 1] = name .. '=' .. (type(value) == 'table' and table.concat(value, '+') or value)
    end
    table.sort(all)
    local fields = ngx.req.get_headers(MAX, RAW)
    for name in pairs(fields) do fields[name] = 'changed' end
    fields.added, fields[1] = 'added', {}
    setmetatable(fields, nil)
    say(unpack(all))
    say(ngx.req.get_headers(MAX, RAW).X_A, ngx.req.get_headers(MAX, RAW)['X-A'])";

/// What the script is to say of these fields.
fn meant(fields: &[(String, String)], raw: bool) -> String {
    let mut all = BTreeMap::<String, Vec<&str>>::new();
    all.insert("host".into(), vec!["example.com:8080"]);
    for (name, value) in fields {
        let name = if raw { name.clone() } else { name.to_ascii_lowercase() };
        all.entry(name).or_default().push(value);
    }
    let told = all.iter().map(|(name, values)| format!("{name}={}", values.join("+")));
    let mut told: Vec<String> = told.collect();
    told.sort();
    let found = |name: &str| match all.get(name) {
        Some(values) if values.len() == 1 => values[0].to_owned(),
        Some(values) => format!("{{{}}}", values.join(",")),
        None => "nil".to_owned(),
    };
    let (by_underscore, by_case) = match raw {
        true => (found("X_A"), found("X-A")),
        false => (found("x-a"), found("x-a")),
    };
    told.extend([by_underscore, by_case]);
    told.join(" ")
}

fn told(rig: &Rig, fields: &[(String, String)]) -> String {
    let mut exchange = exchange();
    for name in ["x-token", "x-many"] {
        exchange.request.head.fields.remove(name.as_bytes());
    }
    for (name, value) in fields {
        exchange.request.head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    let lines = rig.world.lines.borrow();
    let said = lines.iter().rev().find_map(|line| line.split_once("said: ")).unwrap().1;
    said.split(" severity=").next().unwrap().to_owned()
}

#[test]
fn no_table_of_fields_shows_what_another_held() {
    for raw in [false, true] {
        let script = TELLS.replace("MAX", "100").replace("RAW", if raw { "true" } else { "nil" });
        let rig = access(&saying(&script), |_| {});
        let mut random = 7u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        let names =
            ["x-a", "X-A", "accept", "Accept", "user-agent", "x-b", "x-long-name-of-its-own"];
        let mut fields: Vec<(String, String)> = Vec::new();
        for round in 0..600 {
            match next(12) {
                // The same again, or with other values.
                0..5 => {}
                5..8 if !fields.is_empty() => {
                    let place = next(fields.len() as u32) as usize;
                    fields[place].1 = format!("v{}", next(50));
                }
                8 => fields.clear(),
                9 if round % 4 == 0 => rig.realm.rest(),
                10 => fields.truncate(next(4) as usize),
                11 if round % 8 == 0 => {
                    let many = (0..next(60))
                        .map(|n| (format!("x-{n}"), "v".repeat(next(200) as usize + 1)));
                    fields = many.collect();
                }
                _ => {
                    let name = names[next(names.len() as u32) as usize].to_owned();
                    fields.push((name, format!("w{}", next(50))));
                }
            }
            assert_eq!(told(&rig, &fields), meant(&fields, raw), "round {round}");
        }
    }
}

#[test]
fn a_table_of_fields_serves_as_any_other() {
    // A table that has told LuaJIT of no metamethod would not be asked for one.
    let rig = access(
        &saying("say(type(setmetatable({}, ngx.req.get_headers()).upper), #ngx.req.get_headers())"),
        |_| {},
    );
    let fields = [("__index".to_owned(), "text".to_owned())];
    for _ in 0..3 {
        assert_eq!(told(&rig, &fields), "function 0");
    }
}
